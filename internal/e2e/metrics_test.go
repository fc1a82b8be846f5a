package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// scrape reads the metrics: the value of each series by its name and labels, as Prometheus' text format has them.
func scrape(t testing.TB, address string) (series map[string]float64, text string) {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%d %v: %s", res.StatusCode, err, body)
	}
	series = map[string]float64{}
	for line := range strings.Lines(string(body)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		end := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(strings.TrimSpace(line[end+1:]), 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		series[line[:end]] = value
	}
	return series, string(body)
}

// useEverything logs people in by both ways, and fails to in some, so that every metric has something to tell.
func useEverything(t *testing.T, p *product) (token string) {
	t.Helper()
	p.phone("bob").login(t)
	p.miniToken(t, "bob")
	token = p.miniToken(t, "alice")
	p.fault(t, fault{Path: pathJSCode, ErrCode: 40164})
	p.api(t, http.MethodPost, miniLogin, "", `{"code":"`+p.jsCode(t, "bob")+`"}`)
	p.fault(t, fault{Path: pathJSCode, ErrCode: 88888})
	p.api(t, http.MethodPost, miniLogin, "", `{"code":"`+p.jsCode(t, "bob")+`"}`)
	p.fault(t, fault{Path: pathJSCode, Mode: "html502"})
	p.api(t, http.MethodPost, miniLogin, "", `{"code":"`+p.jsCode(t, "bob")+`"}`)
	for range 3 {
		p.api(t, http.MethodGet, "/auth/verify", token, "")
	}
	p.api(t, http.MethodPost, "/logout", p.miniToken(t, "bob"), "")
	return token
}

func TestMetrics_TellWhatHappened(t *testing.T) {
	address := freeAddress(t)
	p := startDev(t, nil, "WXBRIDGE_METRICS_LISTEN="+address)
	token := useEverything(t, p)
	series, text := scrape(t, address)
	for name, want := range map[string]float64{
		`wxbridge_logins_total{outcome="ok",provider="mini_program"}`:                      3,
		`wxbridge_logins_total{outcome="server_error",provider="mini_program"}`:            2,
		`wxbridge_logins_total{outcome="temporarily_unavailable",provider="mini_program"}`: 1,
		`wxbridge_http_requests_total{route="/miniprogram/login",status="2xx"}`:            3,
		`wxbridge_http_requests_total{route="/miniprogram/login",status="5xx"}`:            3,
		`wxbridge_http_requests_total{route="/auth/verify",status="2xx"}`:                  3,
		`wxbridge_http_request_duration_seconds_count{route="/auth/verify"}`:               3,
		`wxbridge_upstream_requests_total{errcode="0",path="/sns/jscode2session"}`:         3,
		`wxbridge_upstream_requests_total{errcode="40164",path="/sns/jscode2session"}`:     1,
		`wxbridge_upstream_requests_total{errcode="other",path="/sns/jscode2session"}`:     1,
		`wxbridge_upstream_requests_total{errcode="none",path="/sns/jscode2session"}`:      1,
		`wxbridge_upstream_request_duration_seconds_count{path="/sns/jscode2session"}`:     6,
		`wxbridge_revocations`:                              1,
		`wxbridge_store_commit_failures_total`:              0,
		`wxbridge_rate_limited_total`:                       0,
		`wxbridge_token_cache_lookups_total{result="miss"}`: 3, // one of bob's in a cookie, two Bearer
	} {
		if got, ok := series[name]; !ok || got != want {
			t.Errorf("%s is %v (there: %v), want %v", name, got, ok, want)
		}
	}
	for _, name := range []string{`wxbridge_logins_total{outcome="ok",provider="official_account"}`, `wxbridge_store_commit_operations_sum`,
		`wxbridge_store_commit_duration_seconds_count`, `wxbridge_token_cache_lookups_total{result="hit"}`, `wxbridge_token_cache_entries`,
		`wxbridge_token_cache_bytes`, `process_resident_memory_bytes`, `go_goroutines`} {
		if series[name] <= 0 {
			t.Errorf("%s is %v", name, series[name])
		}
	}
	// WX-01, LOG-01: no secret, and nobody, is in them.
	refuse(t, text, "token, secret or person", append(devSecrets("127.0.0.1"), token, payload(t, token)["sub"].(string),
		payload(t, token)["openid"].(string), p.official.AppID, p.mini.AppID))
}

// Whatever is asked for, there are no more series than routes, outcomes and codes.
func TestMetrics_StrangersMakeNoSeries(t *testing.T) {
	address := freeAddress(t)
	p := startDev(t, nil, "WXBRIDGE_METRICS_LISTEN="+address)
	useEverything(t, p)
	before, _ := scrape(t, address)
	for i := range 200 {
		p.get(t, fmt.Sprintf("/no/such/path/%d", i))
		p.get(t, fmt.Sprintf("/static/%d.css", i))
		p.get(t, fmt.Sprintf("/MP_verify_%d.txt", i))
		p.fault(t, fault{Path: pathJSCode, ErrCode: 700000 + i})
		p.api(t, http.MethodPost, miniLogin, "", `{"code":"`+p.jsCode(t, fmt.Sprint("stranger", i))+`"}`)
	}
	after, _ := scrape(t, address)
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if _, known := before[name]; !known && strings.HasPrefix(name, "wxbridge_") {
			t.Errorf("new: %s", name)
		}
	}
}

func TestWEB13_MetricsAreOnTheirOwnListenerOnly(t *testing.T) {
	address := freeAddress(t)
	p := startDev(t, nil, "WXBRIDGE_METRICS_LISTEN="+address)
	for _, path := range []string{"/metrics", "/metrics/", "/debug/pprof/", "/debug/vars", "//metrics", "/METRICS", "/%6detrics/"} {
		if h := p.get(t, path); h.status != http.StatusNotFound {
			t.Errorf("the bridge's own listener answers %v", h)
		}
	}
	if h := p.get(t, "/%6detrics"); strings.Contains(string(h.body), "go_goroutines") {
		t.Errorf("%v", h)
	}
	other := &product{bridge: "http://" + address, http: newHTTPClient(t)}
	for _, path := range []string{"/", "/login", "/me", "/auth/verify", "/.well-known/jwks.json", "/healthz", "/debug/pprof/", "/debug/vars"} {
		if h := other.get(t, path); h.status != http.StatusNotFound {
			t.Errorf("the listener for metrics answers %v", h)
		}
	}
	if h := other.api(t, http.MethodPost, "/metrics", "", ""); h.status != http.StatusMethodNotAllowed {
		t.Errorf("%v", h)
	}
}

func TestWEB13_MetricsBeyondThisMachineAreWarnedOf(t *testing.T) {
	for listen, warned := range map[string]bool{"127.0.0.1:0": false, "0.0.0.0:0": true, ":0": true} {
		p := startDev(t, nil, "WXBRIDGE_METRICS_LISTEN="+listen)
		if got := strings.Contains(p.logged(t), "metrics are served beyond this machine"); got != warned {
			t.Errorf("%s: warned %v", listen, got)
		}
	}
	p := startDev(t, nil) // off
	if strings.Contains(p.logged(t), `"msg":"serving metrics"`) {
		t.Error("metrics are served although nobody asked for them")
	}
}

// REL-13: everything that the log, the limiter and the metrics start ends with the command.
func TestREL13_NothingIsLeftRunning(t *testing.T) {
	before := goleak.IgnoreCurrent()
	address := freeAddress(t)
	p := startDev(t, nil, "WXBRIDGE_METRICS_LISTEN="+address, "WXBRIDGE_RATE_LIMIT=5")
	for range 10 {
		p.get(t, "/login/refused")
	}
	if series, _ := scrape(t, address); series["wxbridge_rate_limited_total"] != 5 || series["wxbridge_rate_limit_addresses"] != 1 {
		t.Errorf("%v refused, %v addresses", series["wxbridge_rate_limited_total"], series["wxbridge_rate_limit_addresses"])
	}
	p.http.CloseIdleConnections()
	if code := p.end(); code != 0 {
		t.Errorf("dev ends with %d", code)
	}
	goleak.VerifyNone(t, before)
}

var metricName = regexp.MustCompile(`\b(?:wxbridge|go|process)_[a-z0-9_]+`)

// Every metric that the dashboard asks for is there, with the labels it asks by.
func TestExamples_TheDashboardFindsItsMetrics(t *testing.T) {
	content, err := os.ReadFile("../../examples/grafana/wxbridge.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Title, UID    string
		SchemaVersion int
		Templating    struct {
			List []struct{ Name, Type, Definition string }
		}
		Panels []struct {
			ID          int
			Type, Title string
			GridPos     struct{ H, W, X, Y int }
			Datasource  struct{ UID string }
			Targets     []struct{ Expr, LegendFormat string }
		}
	}
	if err := json.Unmarshal(content, &dashboard); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	p := startDev(t, nil, "WXBRIDGE_METRICS_LISTEN="+address, "WXBRIDGE_RATE_LIMIT=1000")
	useEverything(t, p)
	series, _ := scrape(t, address)
	labels := map[string]string{} // of each metric
	for name := range series {
		metric, rest, _ := strings.Cut(name, "{")
		labels[metric] += "," + rest
	}

	if dashboard.Title != "wxbridge" || dashboard.UID == "" || dashboard.SchemaVersion == 0 || len(dashboard.Templating.List) == 0 ||
		dashboard.Templating.List[0].Type != "datasource" {
		t.Errorf("Grafana could not import this: %q, schema %d", dashboard.Title, dashboard.SchemaVersion)
	}
	shown, ids := map[string]bool{}, map[int]bool{}
	for _, panel := range dashboard.Panels {
		if ids[panel.ID] || panel.Title == "" || panel.GridPos.X+panel.GridPos.W > 24 {
			t.Errorf("panel %d %q has no place of its own", panel.ID, panel.Title)
		}
		ids[panel.ID] = true
		if panel.Type == "row" {
			continue
		}
		if panel.Datasource.UID != "${datasource}" || len(panel.Targets) == 0 {
			t.Errorf("panel %q asks nothing, or one Prometheus only", panel.Title)
		}
		for _, target := range panel.Targets {
			metrics := metricName.FindAllString(target.Expr, -1)
			if len(metrics) == 0 || strings.Count(target.Expr, "(") != strings.Count(target.Expr, ")") {
				t.Errorf("panel %q asks %q", panel.Title, target.Expr)
			}
			for _, metric := range metrics {
				shown[metric] = true
				if _, there := labels[metric]; !there {
					t.Errorf("panel %q asks for %s, which is not there", panel.Title, metric)
				}
			}
			for _, by := range regexp.MustCompile(`by \(([a-z_, ]+)\)`).FindAllStringSubmatch(target.Expr, -1) {
				for label := range strings.SplitSeq(by[1], ", ") {
					if label != "instance" && label != "job" && !strings.Contains(labels[metrics[0]], label+`="`) {
						t.Errorf("panel %q asks %s by %s, a label it has not", panel.Title, metrics[0], label)
					}
				}
			}
		}
	}
	suffix := regexp.MustCompile(`_(bucket|sum|count)$`)
	for metric := range labels {
		base := suffix.ReplaceAllString(metric, "")
		if strings.HasPrefix(metric, "wxbridge_") && !shown[metric] && !shown[base+"_bucket"] {
			t.Errorf("no panel shows %s", metric)
		}
	}
}

// docs/operations.md names every metric of ours, and no other.
func TestDocs_TheMetricsAreTheDocumentedOnes(t *testing.T) {
	content, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, name := range regexp.MustCompile("`(wxbridge_[a-z_]+)`").FindAllStringSubmatch(string(content), -1) {
		documented[name[1]] = true
	}
	address := freeAddress(t)
	shop := startBackend(t, "shop")
	p := startDev(t, nil, "WXBRIDGE_METRICS_LISTEN="+address, "WXBRIDGE_RATE_LIMIT=1000",
		webhooksFile(t, map[string]*backend{"shop": shop}, map[string]string{"shop": "events: [login]"}))
	useEverything(t, p)
	waitFor(t, 20*time.Second, "a delivery to be counted", func() bool {
		_, text := scrape(t, address)
		return strings.Contains(text, "wxbridge_webhook_attempts_total{") && strings.Contains(text, "wxbridge_webhook_queue_events{")
	})
	_, text := scrape(t, address)
	exposed := map[string]bool{}
	for _, name := range regexp.MustCompile(`(?m)^# TYPE (wxbridge_[a-z_]+) `).FindAllStringSubmatch(text, -1) {
		exposed[name[1]] = true
	}
	if !maps.Equal(documented, exposed) {
		t.Errorf("documented %v\n  exposed %v", slices.Sorted(maps.Keys(documented)), slices.Sorted(maps.Keys(exposed)))
	}
}
