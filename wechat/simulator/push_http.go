package simulator

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
)

const pushAnswerMax = 1 << 20

// call makes one request as WeChat's pushes are seen to be: HTTP/1.0, User-Agent Mozilla/4.0, text/xml (observed,
// wechat-protocol §5.2), over a connection of its own. It gives up at Config.PushTimeout with context.DeadlineExceeded
// and follows no redirect (assumed). Errors say what is wrong in few words.
func (s *Server) call(ctx context.Context, method string, target *url.URL, body []byte) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.PushTimeout)
	defer cancel()
	conn, err := dial(ctx, target)
	if err != nil {
		return 0, nil, shortNetworkError(ctx, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if _, err := conn.Write(append(requestHead(method, target, len(body)), body...)); err != nil {
		return 0, nil, shortNetworkError(ctx, err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return 0, nil, shortNetworkError(ctx, err)
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, pushAnswerMax+1))
	switch {
	case err != nil:
		return resp.StatusCode, nil, shortNetworkError(ctx, err)
	case len(answer) > pushAnswerMax:
		return resp.StatusCode, nil, errors.New("the answer is larger than 1 MiB")
	}
	return resp.StatusCode, answer, nil
}

func dial(ctx context.Context, target *url.URL) (net.Conn, error) {
	port := target.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[target.Scheme]
	}
	address := net.JoinHostPort(target.Hostname(), port)
	if target.Scheme == "https" {
		return (&tls.Dialer{}).DialContext(ctx, "tcp", address)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", address)
}

func requestHead(method string, target *url.URL, length int) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.0\r\n", method, target.RequestURI())
	fmt.Fprintf(&b, "User-Agent: Mozilla/4.0\r\nAccept: */*\r\nHost: %s\r\nPragma: no-cache\r\n", target.Host)
	if method == http.MethodPost {
		fmt.Fprintf(&b, "Content-Type: text/xml\r\nContent-Length: %d\r\n", length)
	}
	b.WriteString("\r\n")
	return []byte(b.String())
}

// shortNetworkError leaves addresses and the library's wording out.
func shortNetworkError(ctx context.Context, err error) error {
	var dns *net.DNSError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return context.DeadlineExceeded
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("nothing listens there")
	case errors.As(err, &dns):
		return errors.New("the host name has no address")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return errors.New("the connection ended before the answer")
	}
	return errors.New("no HTTP answer could be read")
}
