package e2e

import (
	"bufio"
	"context"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

var scanHandle = regexp.MustCompile(`data-scan="([A-Z2-7]{8})"`)

// eventsComeAtOnce waits for a scan behind the proxy: its stream says something while it is open.
func eventsComeAtOnce(t *testing.T, s *stand) {
	desktop := s.phone("lin")
	page := desktop.once(t, s.layout.bridge+"/login/scan")
	found := scanHandle.FindStringSubmatch(string(page.body))
	if found == nil {
		t.Fatalf("no code: %v", page)
	}
	for _, address := range assetPattern.FindAllStringSubmatch(string(page.body), -1) {
		if h := desktop.once(t, s.layout.bridge+strings.ReplaceAll(address[1], "&amp;", "&")); h.status != http.StatusOK {
			t.Errorf("the page needs %v", h)
		}
	}
	cookie, _, _ := strings.Cut(page.header.Get("Set-Cookie"), ";")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.layout.bridge+"/login/scan/events?scan="+found[1], nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Cookie", cookie)
	response, err := s.http.Do(request)
	if err != nil {
		t.Fatalf("no event within ten seconds: %v", err)
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if lines.Text() == "data: waiting" {
			return
		}
	}
	t.Errorf("%s: the stream ended without an event: %v", response.Status, ctx.Err())
}
