package e2e

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

var scanHandle = regexp.MustCompile(`data-scan="([A-Z2-7]{8})"`)

// eventsComeAtOnce waits for a scan behind the proxy: its stream says something while it is open.
func eventsComeAtOnce(t *testing.T, s *stand) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	desktop := s.phone("lin")
	page, stream := s.waitForScan(ctx, t, desktop)
	defer stream.Close()
	for _, address := range assetPattern.FindAllStringSubmatch(string(page.body), -1) {
		if h := desktop.once(t, s.layout.bridge+strings.ReplaceAll(address[1], "&amp;", "&")); h.status != http.StatusOK {
			t.Errorf("the page needs %v", h)
		}
	}
	for lines := bufio.NewScanner(stream); lines.Scan(); {
		if lines.Text() == "data: waiting" {
			return
		}
	}
	t.Errorf("the stream ended without an event: %v", ctx.Err())
}

// waitForScan opens a page with a code, and its stream.
func (p *product) waitForScan(ctx context.Context, t *testing.T, desktop *phone) (page hop, stream io.ReadCloser) {
	t.Helper()
	page = desktop.once(t, p.bridge+"/login/scan")
	found := scanHandle.FindStringSubmatch(string(page.body))
	if found == nil {
		t.Fatalf("no code: %v", page)
	}
	cookie, _, _ := strings.Cut(page.header.Get("Set-Cookie"), ";")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.bridge+"/login/scan/events?scan="+found[1], nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Cookie", cookie)
	client := *p.http
	client.Timeout = 0
	response, err := client.Do(request)
	if err != nil {
		t.Fatalf("no stream: %v", err)
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		t.Fatalf("no stream: %s", response.Status)
	}
	return page, response.Body
}

// A stream lives on past the server's limits on reading (10 s) and, in a soak run, on writing (30 s) a request.
func TestScanStreamOutlivesTheLimitsOfARequest(t *testing.T) {
	t.Parallel()
	p := startDev(t, nil)
	_, stream := p.waitForScan(t.Context(), t, p.phone("lin"))
	defer stream.Close()
	start, least := time.Now(), time.Duration(times(14, 40))*time.Second
	beats := 0
	for lines := bufio.NewScanner(stream); lines.Scan(); {
		if lines.Text() == ":" {
			if beats++; time.Since(start) > least {
				return
			}
		}
	}
	t.Errorf("the stream ended after %v, with %d heartbeats", time.Since(start), beats)
}
