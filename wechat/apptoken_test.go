package wechat_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"wxbridge/wechat"
)

// tokenServer stands where WeChat would: it issues app tokens and answers
// cgi-bin/user/info to those who bring the current one (wechat-protocol §2, §6).
type tokenServer struct {
	*upstream

	mu      sync.Mutex
	issued  int
	current string
	forced  int           // fetches with force_refresh
	used    int           // calls of cgi-bin/user/info
	refusal string        // answers every call of user/info, if not ""
	failing string        // answers every fetch, if not ""
	stuck   bool          // a fetch gives the same token, whatever has happened to it
	gate    chan struct{} // a fetch waits until it is closed, if not nil
	life    int           // expires_in
}

func startTokenServer(t testing.TB) *tokenServer {
	t.Helper()
	s := &tokenServer{life: 7200}
	s.upstream = startUpstream(t, s.serve)
	return s
}

func (s *tokenServer) serve(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/cgi-bin/stable_token":
		var body struct {
			GrantType, AppID, Secret string
			Force                    bool `json:"force_refresh"`
		}
		raw, _ := io.ReadAll(r.Body)
		var names map[string]any
		if json.Unmarshal(raw, &names) != nil || json.Unmarshal(raw, &body) != nil || r.Method != http.MethodPost ||
			names["grant_type"] != "client_credential" || body.AppID != appID || body.Secret != secret || r.URL.RawQuery != "" {
			_, _ = io.WriteString(w, `{"errcode":40002,"errmsg":"invalid grant_type"}`)
			return
		}
		_, _ = io.WriteString(w, s.issue(r.Context(), body.Force))
	case "/cgi-bin/token":
		if r.Method != http.MethodGet || r.URL.RawQuery != "grant_type=client_credential&appid="+appID+"&secret="+secret {
			_, _ = io.WriteString(w, `{"errcode":40002,"errmsg":"invalid grant_type"}`)
			return
		}
		_, _ = io.WriteString(w, s.issue(r.Context(), false))
	case "/cgi-bin/user/info":
		_, _ = io.WriteString(w, s.follower(r.URL.Query().Get("access_token"), r.URL.Query().Get("openid")))
	}
}

func (s *tokenServer) issue(ctx context.Context, force bool) string {
	s.mu.Lock()
	gate := s.gate
	s.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if force {
		s.forced++
	}
	if s.failing != "" {
		s.issued++
		return s.failing
	}
	s.issued++
	if !s.stuck || force || s.current == "" {
		s.current = fmt.Sprintf("24_token-%d", s.issued)
	}
	return fmt.Sprintf(`{"access_token":"%s","expires_in":%d}`, s.current, s.life)
}

func (s *tokenServer) follower(token, openID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used++
	switch {
	case s.refusal != "":
		return s.refusal
	case token != s.current:
		return `{"errcode":40001,"errmsg":"invalid credential, access_token is invalid or not latest, could get access_token by getStableAccessToken rid: 64c66038-6952db2e-4df155c2"}`
	}
	return `{"subscribe":1,"openid":"` + openID + `","language":"zh_CN","subscribe_time":1636450232}`
}

// set changes what the server does from now on.
func (s *tokenServer) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// invalidate ends the current token, as somebody else's force_refresh does.
func (s *tokenServer) invalidate() { s.set(func() { s.current = "ended" }) }

func (s *tokenServer) wantIssued(t testing.TB, want int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.issued != want {
		t.Errorf("%d fetches of a token, want %d", s.issued, want)
	}
}

// movingClock is a time that only moves when told to.
type movingClock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *movingClock {
	return &movingClock{now: time.Date(2026, 11, 21, 12, 0, 10, 0, time.UTC)}
}

func (c *movingClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *movingClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (s *tokenServer) source(t testing.TB, c *movingClock, o wechat.AppTokenOptions) *wechat.AppTokens {
	t.Helper()
	api := s.api(t)
	api.Now = c.Now
	return newAppTokens(t, api, o)
}

func wantToken(t testing.TB, tokens *wechat.AppTokens, want string) {
	t.Helper()
	got, err := tokens.Token(t.Context())
	if err != nil || got.Value.Reveal() != want {
		t.Errorf("got %s, %v, want %s", got.Value.Reveal(), err, want)
	}
}

func TestAppTokens_BothMethodsGiveAToken(t *testing.T) {
	for _, rotating := range []bool{false, true} {
		s, c := startTokenServer(t), newClock()
		tokens := s.source(t, c, wechat.AppTokenOptions{Rotating: rotating})
		for range 3 {
			got, err := tokens.Token(t.Context())
			if err != nil || got.Value.Reveal() != "24_token-1" || !got.FetchedAt.Equal(c.Now()) || got.ExpiresAt.Sub(got.FetchedAt) != 2*time.Hour {
				t.Errorf("rotating %t: got %+v (%s), %v", rotating, got, got.Value.Reveal(), err)
			}
		}
		s.wantIssued(t, 1)
	}
}

func TestWX17_OneFetchHoweverManyWait(t *testing.T) {
	s, c := startTokenServer(t), newClock()
	gate := make(chan struct{})
	s.gate = gate
	tokens := s.source(t, c, wechat.AppTokenOptions{})
	results := make(chan error)
	for range 1000 {
		go func() {
			got, err := tokens.Token(t.Context())
			if err == nil && got.Value != "24_token-1" {
				err = errors.New("another token")
			}
			results <- err
		}()
	}
	waitUntil(t, "the fetch has begun", func() bool { return len(s.seen()) == 1 })
	close(gate)
	for range 1000 {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
	s.wantIssued(t, 1)
}

// Somebody who asks just as the fetch of the others ends has missed it, and must
// not begin one more.
func TestWX17_OneFetchForLatecomersToo(t *testing.T) {
	for range 300 {
		var fetches atomic.Int64
		api := &wechat.API{HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			fetches.Add(1)
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(golden(t, "app_token.json"))), Request: r}, nil
		})}}
		tokens := newAppTokens(t, api, wechat.AppTokenOptions{})
		var group sync.WaitGroup
		for range 32 {
			group.Go(func() {
				if _, err := tokens.Token(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if got := fetches.Load(); got != 1 {
			t.Fatalf("%d fetches", got)
		}
	}
}

func TestWX17_AWaiterWhoGivesUpDoesNotEndTheFetch(t *testing.T) {
	s, c := startTokenServer(t), newClock()
	gate := make(chan struct{})
	s.gate = gate
	tokens := s.source(t, c, wechat.AppTokenOptions{})

	hasty, giveUp := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() { _, err := tokens.Token(hasty); gone <- err }()
	waitUntil(t, "the fetch has begun", func() bool { return len(s.seen()) == 1 })
	patient := make(chan error, 1)
	go func() { _, err := tokens.Token(t.Context()); patient <- err }()
	giveUp()
	err := <-gone
	wantOnly(t, err, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	late, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := tokens.Token(late); !errors.Is(err, wechat.ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want a deadline", err)
	}
	close(gate)
	if err := <-patient; err != nil {
		t.Errorf("the patient caller got %v", err)
	}
	s.wantIssued(t, 1)
}

func TestWX17_ATokenIsRenewedBeforeItsEndAndNobodyWaits(t *testing.T) {
	s, c := startTokenServer(t), newClock()
	tokens := s.source(t, c, wechat.AppTokenOptions{})
	wantToken(t, tokens, "24_token-1")
	c.advance(2*time.Hour - 4*time.Minute - time.Second)
	wantToken(t, tokens, "24_token-1")
	s.wantIssued(t, 1)

	gate := make(chan struct{})
	s.set(func() { s.gate = gate })
	c.advance(time.Second)
	for range 10 {
		wantToken(t, tokens, "24_token-1") // while the fetch hangs
	}
	close(gate)
	waitUntil(t, "the next token is there", func() bool {
		got, err := tokens.Token(t.Context())
		return err == nil && got.Value == "24_token-2"
	})
	s.wantIssued(t, 2)

	c.advance(2 * time.Hour)
	wantToken(t, tokens, "24_token-3") // nobody asked for two hours
}

func TestAppTokens_AFailedRenewalKeepsTheTokenToItsEnd(t *testing.T) {
	s, c := startTokenServer(t), newClock()
	tokens := s.source(t, c, wechat.AppTokenOptions{})
	wantToken(t, tokens, "24_token-1")
	s.set(func() { s.failing = `{"errcode":45009,"errmsg":"reach max api daily quota limit"}` })
	c.advance(2*time.Hour - 3*time.Minute)
	wantToken(t, tokens, "24_token-1")
	waitUntil(t, "the renewal has failed", func() bool { return len(s.seen()) == 2 })
	for range 100 {
		wantToken(t, tokens, "24_token-1")
	}
	c.advance(3 * time.Minute)
	waitUntil(t, "the token is over", func() bool { _, err := tokens.Token(t.Context()); return errors.Is(err, wechat.ErrRateLimited) })
	s.wantIssued(t, 2)
}

func TestAppTokens_AShortLifeIsNotAFetchForEachCall(t *testing.T) {
	s, c := startTokenServer(t), newClock()
	s.life = 120
	tokens := s.source(t, c, wechat.AppTokenOptions{})
	for range 5 {
		wantToken(t, tokens, "24_token-1")
		c.advance(15 * time.Second)
	}
	s.wantIssued(t, 1)
}

func TestAppTokens_ATokenThatCannotBeIsNone(t *testing.T) {
	for _, body := range []string{
		`{"expires_in":7200}`, `{"access_token":"","expires_in":7200}`, `{"access_token":7,"expires_in":7200}`,
		`{"access_token":"24_a b","expires_in":7200}`, `{"access_token":"24_a"}`, `{"access_token":"24_a","expires_in":0}`,
		`{"access_token":"24_a","expires_in":-5}`, `{"access_token":"24_a","expires_in":"soon"}`,
	} {
		s, c := startTokenServer(t), newClock()
		s.failing = body
		_, err := s.source(t, c, wechat.AppTokenOptions{}).Token(t.Context())
		wantOnly(t, err, wechat.ErrBusy)
	}
}

func TestWX17_AStaleTokenIsDroppedAndTheCallMadeOnceMore(t *testing.T) {
	for _, refusal := range []int{40001, 40014, 42001} {
		t.Run(fmt.Sprint(refusal), func(t *testing.T) {
			s, c := startTokenServer(t), newClock()
			tokens := s.source(t, c, wechat.AppTokenOptions{})
			var sent []string
			err := tokens.Do(t.Context(), func(_ context.Context, token wechat.Secret) error {
				sent = append(sent, token.Reveal())
				if len(sent) == 1 {
					return fmt.Errorf("wrapped: %w", &wechat.Error{Op: "cgi-bin/menu/get", Code: refusal})
				}
				return nil
			})
			if err != nil || len(sent) != 2 || sent[0] != "24_token-1" || sent[1] != "24_token-2" {
				t.Errorf("sent %q, %v", sent, err)
			}
			s.wantIssued(t, 2)
		})
	}
	t.Run("other errors are not about the token", func(t *testing.T) {
		s, c := startTokenServer(t), newClock()
		tokens := s.source(t, c, wechat.AppTokenOptions{})
		for _, failure := range []error{
			errors.New("no errcode"), io.EOF, &wechat.Error{Code: 40003}, &wechat.Error{Code: 41001}, &wechat.Error{Code: 45009},
		} {
			uses := 0
			err := tokens.Do(t.Context(), func(context.Context, wechat.Secret) error { uses++; return failure })
			if !errors.Is(err, failure) || uses != 1 {
				t.Errorf("%v: got %v after %d calls", failure, err, uses)
			}
		}
		s.wantIssued(t, 1)
	})
}

func TestWX17_AnAlwaysRefusedTokenIsNoLoop(t *testing.T) {
	s, c := startTokenServer(t), newClock()
	s.refusal = `{"errcode":40001,"errmsg":"invalid credential"}`
	tokens := s.source(t, c, wechat.AppTokenOptions{})
	_, err := tokens.Follower(t.Context(), openID)
	wantOnly(t, err, wechat.ErrMisconfigured)
	if s.used != 2 {
		t.Errorf("%d calls, want 2", s.used)
	}
	s.wantIssued(t, 2)

	// From then on the fetches become rare, however many calls there are.
	for range 24 * 30 {
		for range 2 {
			_, err := tokens.Follower(t.Context(), openID)
			wantOnly(t, err, wechat.ErrMisconfigured)
		}
		c.advance(2 * time.Minute)
	}
	if s.issued > 2000/4 { // the daily quota of cgi-bin/token (§2.1)
		t.Errorf("%d fetches in a day", s.issued)
	}
}

func TestWX17_ATokenEndedFromOutsideFailsNoCallAndCostsOneFetch(t *testing.T) {
	s, c := startTokenServer(t), newClock()
	tokens := s.source(t, c, wechat.AppTokenOptions{})
	const workers, calls = 16, 100
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for i := range calls {
				if i == calls/2 && t.Context().Err() == nil {
					s.set(func() {
						if s.issued == 1 {
							s.current = "ended"
						}
					})
				}
				if _, err := tokens.Follower(t.Context(), openID); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	s.wantIssued(t, 2)
}

func TestAppTokens_ARefusalOfAnOldTokenDropsNothing(t *testing.T) {
	s, c := startTokenServer(t), newClock()
	tokens := s.source(t, c, wechat.AppTokenOptions{})
	wantToken(t, tokens, "24_token-1")
	if !tokens.Drop("24_token-1") {
		t.Error("the token was not dropped")
	}
	wantToken(t, tokens, "24_token-2")
	for range 100 {
		if !tokens.Drop("24_token-1") || !tokens.Drop("24_somebody-elses") {
			t.Error("there is another token, and Drop says no")
		}
	}
	wantToken(t, tokens, "24_token-2")
	s.wantIssued(t, 2)
}

func TestAppTokens_ForceOnlyATokenThatComesBackAndIsRefusedAgain(t *testing.T) {
	s, c := startTokenServer(t), newClock()
	s.stuck = true
	tokens := s.source(t, c, wechat.AppTokenOptions{})
	wantToken(t, tokens, "24_token-1")
	refuse := func(want error) {
		t.Helper()
		err := tokens.Do(t.Context(), func(_ context.Context, token wechat.Secret) error {
			if token == "24_token-1" {
				return &wechat.Error{Op: "cgi-bin/menu/get", Code: 40001}
			}
			return nil
		})
		if !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	refuse(wechat.ErrMisconfigured) // asked plainly, WeChat gives the same one
	if s.forced != 0 {
		t.Error("the first refusal forced a refresh")
	}
	c.advance(10 * time.Second)
	refuse(nil)
	if s.forced != 1 {
		t.Errorf("forced %d times, want 1", s.forced)
	}
	wantToken(t, tokens, "24_token-3")
}

func TestAppTokens_AFailureIsRememberedForAMoment(t *testing.T) {
	tests := []struct {
		name, answer string
		want         error
		pause        time.Duration
	}{
		{"a day's quota", `{"errcode":45009,"errmsg":"reach max api daily quota limit"}`, wechat.ErrRateLimited, 10 * time.Minute},
		{"a minute's quota", `{"errcode":45011,"errmsg":"api minute-quota reach limit"}`, wechat.ErrRateLimited, 50 * time.Second},
		{"a wrong secret", `{"errcode":40125,"errmsg":"invalid appsecret"}`, wechat.ErrMisconfigured, 10 * time.Second},
		{"HTML", `<html>`, wechat.ErrBusy, 500 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, c := startTokenServer(t), newClock()
			s.failing = tt.answer
			tokens := s.source(t, c, wechat.AppTokenOptions{})
			for range 100 {
				_, err := tokens.Token(t.Context())
				wantOnly(t, err, tt.want)
			}
			s.wantIssued(t, 1)
			c.advance(tt.pause - time.Millisecond)
			_, err := tokens.Token(t.Context())
			wantOnly(t, err, tt.want)
			s.wantIssued(t, 1)
			c.advance(time.Millisecond)
			s.set(func() { s.failing = "" })
			wantToken(t, tokens, "24_token-2")
		})
	}
	t.Run("longer while it lasts, never over 15 seconds", func(t *testing.T) {
		s, c := startTokenServer(t), newClock()
		s.failing = `<html>`
		tokens := s.source(t, c, wechat.AppTokenOptions{})
		for range 10 * 60 * 10 { // ten minutes
			_, err := tokens.Token(t.Context())
			wantOnly(t, err, wechat.ErrBusy)
			c.advance(100 * time.Millisecond)
		}
		if s.issued < 40 || s.issued > 50 {
			t.Errorf("%d fetches in ten minutes", s.issued)
		}
	})
	t.Run("and short again after a success", func(t *testing.T) {
		s, c := startTokenServer(t), newClock()
		tokens := s.source(t, c, wechat.AppTokenOptions{})
		fail := func() {
			t.Helper()
			_, err := tokens.Token(t.Context())
			wantOnly(t, err, wechat.ErrBusy)
		}
		s.failing = `<html>`
		for range 5 {
			fail()
			c.advance(15 * time.Second)
		}
		s.set(func() { s.failing = "" })
		wantToken(t, tokens, "24_token-6")
		c.advance(2 * time.Hour)
		s.set(func() { s.failing = `<html>` })
		fail()
		c.advance(500 * time.Millisecond)
		s.set(func() { s.failing = "" })
		wantToken(t, tokens, "24_token-8")
	})
	t.Run("REL-15 a clock that goes back ends it", func(t *testing.T) {
		s, c := startTokenServer(t), newClock()
		s.failing = `{"errcode":45009,"errmsg":"reach max api daily quota limit"}`
		tokens := s.source(t, c, wechat.AppTokenOptions{})
		_, err := tokens.Token(t.Context())
		wantOnly(t, err, wechat.ErrRateLimited)
		c.advance(-time.Hour)
		s.set(func() { s.failing = "" })
		wantToken(t, tokens, "24_token-2")
	})
}

func TestWX01_AnAppTokenIsNotShownByAnError(t *testing.T) {
	s, c := startTokenServer(t), newClock()
	s.refusal = `{"errcode":48001,"errmsg":"api unauthorized 24_token-1 ` + openID + ` ` + secret[:3] + `"}`
	_, err := s.source(t, c, wechat.AppTokenOptions{}).Follower(t.Context(), openID)
	wantOnly(t, err, wechat.ErrMisconfigured)
	wantNone(t, everyText(err), "24_token-1", openID, "access_token=", "http://")

	s.refusal = `<html>24_token-1 access_token=24_token-1</html>`
	_, err = s.source(t, c, wechat.AppTokenOptions{}).Follower(t.Context(), openID)
	wantOnly(t, err, wechat.ErrBusy)
	wantNone(t, everyText(err), "24_token-", openID, "access_token=", "http://")
}

// waitUntil polls a condition that something else brings about.
func waitUntil(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
