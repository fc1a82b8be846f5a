package wecom_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"wxbridge/wechat"
	"wxbridge/wechat/wecom"
)

const (
	exchangePath = "/cgi-bin/auth/getuserinfo"
	memberPath   = "/cgi-bin/user/get"
	memberAnswer = `{"errcode":0,"errmsg":"ok","userid":"zhangsan"}`
)

func TestToken_TravelsInTheQueryAlone(t *testing.T) {
	q := startQYAPI(t)
	q.answer(exchangePath, memberAnswer)
	if _, err := q.client(t).Exchange(t.Context(), code); err != nil {
		t.Fatal(err)
	}
	fetch, call := q.seen("/cgi-bin/gettoken"), q.seen(exchangePath)
	if len(fetch) != 1 || fetch[0].Method != "GET" || fetch[0].URL.RawQuery != "corpid="+corpID+"&corpsecret="+secret {
		t.Errorf("gettoken: %d calls", len(fetch))
	}
	if len(call) != 1 || call[0].Method != "GET" || call[0].URL.RawQuery != "access_token="+q.current+"&code="+code ||
		call[0].Header.Get("Authorization") != "" {
		t.Errorf("getuserinfo: %d calls", len(call))
	}
}

func TestWX17_500FirstLoginsFetchOneToken(t *testing.T) {
	q := startQYAPI(t)
	q.answer(exchangePath, memberAnswer)
	open := q.stop("/cgi-bin/gettoken")
	c := q.client(t)
	failed := make(chan error)
	for range 500 {
		go func() {
			v, err := c.Exchange(t.Context(), code)
			if err == nil && v.UserID != "zhangsan" {
				err = errors.New("another visitor")
			}
			failed <- err
		}()
	}
	waitUntil(t, "the fetch has begun", func() bool { return len(q.seen("/cgi-bin/gettoken")) == 1 })
	open()
	for range 500 {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
	q.wantFetches(t, 1)
}

// All calls meet a token that is over before any of them has fetched the next.
func TestWX17_100StaleTokensAtOnceFetchOne(t *testing.T) {
	for _, errcode := range []int{42001, 40014} {
		t.Run(fmt.Sprint(errcode), func(t *testing.T) {
			q := startQYAPI(t)
			q.stale = errcode
			q.answer(exchangePath, memberAnswer)
			c := q.client(t)
			if _, err := c.Exchange(t.Context(), code); err != nil {
				t.Fatal(err)
			}
			q.revoke()
			open := q.stop(exchangePath)
			var group sync.WaitGroup
			for range 100 {
				group.Go(func() {
					if _, err := c.Exchange(t.Context(), code); err != nil {
						t.Error(err)
					}
				})
			}
			waitUntil(t, "all use the token that is over", func() bool { return len(q.seen(exchangePath)) == 101 })
			open()
			group.Wait()
			q.wantFetches(t, 2)
			if got := len(q.seen(exchangePath)); got != 201 {
				t.Errorf("%d calls of getuserinfo, want each of the 100 twice and the first once", got)
			}
		})
	}
}

func TestWX17_ATokenThatIsAlwaysRefusedIsNoLoop(t *testing.T) {
	q := startQYAPI(t)
	q.answer(exchangePath, refusal(40014, "invalid access_token"))
	c := q.client(t)
	for range 300 { // five minutes
		_, err := c.Exchange(t.Context(), code)
		wantOnly(t, err, wechat.ErrMisconfigured)
		q.clock.advance(time.Second)
	}
	if got := len(q.fetched()); got > 8 {
		t.Errorf("%d calls of gettoken in five minutes", got)
	}
}

// A wrong secret is not tried again for each login: after too many WeCom locks the
// server's address out for an hour (§1.1).
func TestWX17_AWrongSecretIsTriedTwiceAMinuteAtMost(t *testing.T) {
	for _, answer := range []string{refusal(40001, "invalid credential"), refusal(40013, "invalid corpid"), refusal(40091, "secret is invalid"),
		refusal(50003, "app disabled"), refusal(99999, "new")} {
		q := startQYAPI(t)
		q.failing = answer
		q.answer(exchangePath, memberAnswer)
		c := q.client(t)
		for range 10 * 60 {
			var group sync.WaitGroup
			for range 5 {
				group.Go(func() {
					_, err := c.Exchange(t.Context(), code)
					wantOnly(t, err, wechat.ErrMisconfigured)
				})
			}
			group.Wait()
			q.clock.advance(time.Second)
		}
		wantPace(t, q.fetched(), 2, time.Minute)
		if got := len(q.seen(exchangePath)); got != 0 {
			t.Errorf("%d calls without a token", got)
		}
		q.set(func() { q.failing = "" }) // the administrator has enabled the app again
		q.clock.advance(time.Minute)
		if _, err := c.Exchange(t.Context(), code); err != nil {
			t.Error(err)
		}
	}
}

// wantPace fails if more than most of the times fall into any window.
func wantPace(t testing.TB, times []time.Time, most int, window time.Duration) {
	t.Helper()
	for i := range times {
		if last := i + most; last < len(times) && times[last].Sub(times[i]) < window {
			t.Errorf("calls %d to %d within %v", i, last, times[last].Sub(times[i]))
		}
	}
	if len(times) < 2 {
		t.Errorf("%d calls: it was given up", len(times))
	}
}

// 40001 is about a secret; a call that brings none must not make one be sent.
func TestWX17_A40001ElsewhereFetchesNothing(t *testing.T) {
	q := startQYAPI(t)
	q.answer(memberPath, refusal(40001, "invalid credential"))
	c := q.client(t)
	for range 5 {
		_, err := c.Member(t.Context(), userID)
		wantOnly(t, err, wechat.ErrMisconfigured)
	}
	q.wantFetches(t, 1)
}

func TestToken_LimitsAreWaitedFor(t *testing.T) {
	tests := []struct {
		answer string
		want   error
		pauses []time.Duration
	}{
		{refusal(45009, "api freq out of limit"), wechat.ErrRateLimited, []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute,
			15 * time.Minute, 15 * time.Minute}},
		{refusal(45033, "api concurrent out of limit"), wechat.ErrRateLimited, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second}},
		{`<html>`, wechat.ErrBusy, []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second}},
	}
	for _, tt := range tests {
		q := startQYAPI(t)
		q.failing = tt.answer
		c := q.client(t)
		for i, pause := range tt.pauses {
			for range 3 {
				_, err := c.Tokens().Token(t.Context())
				wantOnly(t, err, tt.want)
			}
			q.wantFetches(t, i+1)
			q.clock.advance(pause - time.Millisecond)
			_, err := c.Tokens().Token(t.Context())
			wantOnly(t, err, tt.want)
			q.wantFetches(t, i+1)
			q.clock.advance(time.Millisecond)
		}
	}
}

func TestToken_BusyIsTriedOnceMoreAndThenLeftAlone(t *testing.T) {
	q := startQYAPI(t)
	q.failing = `{"errcode":-1,"errmsg":"system error"}`
	c := q.client(t)
	for range 10 {
		_, err := c.Tokens().Token(t.Context())
		wantOnly(t, err, wechat.ErrBusy)
	}
	q.wantFetches(t, 2)
}

// Until it ends, WeCom gives the same token again; whether with what is left of its
// life or a whole one, nobody knows. Asking must neither become a loop nor prolong it.
func TestToken_TheSameTokenGivenAgainKeepsItsEnd(t *testing.T) {
	for _, whole := range []bool{false, true} {
		q := startQYAPI(t)
		q.whole = whole
		tokens := q.client(t).Tokens()
		first, err := tokens.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		end := first.ExpiresAt
		for i, left := range []time.Duration{3 * time.Minute, 30 * time.Second, 5 * time.Second} { // each in the last quarter of what was left
			q.clock.advance(end.Add(-left).Sub(q.clock.Now()))
			waitUntil(t, "the renewal", func() bool {
				got, err := tokens.Token(t.Context())
				return err == nil && got.FetchedAt.Equal(q.clock.Now())
			})
			for range 50 {
				got, err := tokens.Token(t.Context())
				if err != nil || got.Value != first.Value || got.ExpiresAt.After(end) {
					t.Fatalf("whole %t: the token ends at %v, and is said to end at %v, %v", whole, end, got.ExpiresAt, err)
				}
			}
			q.wantFetches(t, i+2)
		}
		q.clock.advance(5 * time.Second)
		if next, err := tokens.Token(t.Context()); err != nil || next.Value == first.Value || next.ExpiresAt.Sub(q.clock.Now()) != 2*time.Hour {
			t.Errorf("whole %t: %v after the end: %v", whole, next, err)
		}
		q.wantFetches(t, 5)
	}
}

func TestToken_ATokenInItsLastMomentIsOne(t *testing.T) {
	q := startQYAPI(t)
	q.failing = `{"errcode":0,"errmsg":"ok","access_token":"lent-token-0","expires_in":0}`
	c := q.client(t)
	for range 10 {
		if got, err := c.Tokens().Token(t.Context()); err != nil || got.Value != "lent-token-0" {
			t.Fatal(got, err)
		}
	}
	q.wantFetches(t, 1)
}

func TestToken_ATokenThatCannotBeIsNone(t *testing.T) {
	for _, body := range []string{
		`{"errcode":0,"errmsg":"ok"}`, `{"access_token":"","expires_in":7200}`, `{"access_token":7,"expires_in":7200}`,
		`{"access_token":"a b","expires_in":7200}`, `{"access_token":"lent-token-0","expires_in":-5}`,
		`{"access_token":"lent-token-0","expires_in":"soon"}`, `{"access_token":"` + strings.Repeat("x", 2049) + `","expires_in":7200}`,
	} {
		q := startQYAPI(t)
		q.failing = body
		_, err := q.client(t).Tokens().Token(t.Context())
		wantOnly(t, err, wechat.ErrBusy)
	}
}

// memoryStore is a wechat.TokenStore that several clients share as processes would
// share a database.
type memoryStore struct {
	mu     sync.Mutex
	tokens map[string]wechat.AppToken
	owner  map[string]string
}

func newMemoryStore() *memoryStore {
	return &memoryStore{tokens: map[string]wechat.AppToken{}, owner: map[string]string{}}
}

func (s *memoryStore) Load(_ context.Context, key string) (wechat.AppToken, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens[key], nil
}

func (s *memoryStore) Lock(_ context.Context, key, owner string, _ time.Duration) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owner[key] != "" {
		return false, nil
	}
	s.owner[key] = owner
	return true, nil
}

func (s *memoryStore) Save(_ context.Context, key, owner string, token wechat.AppToken) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owner[key] == owner {
		s.tokens[key] = token
	}
	return nil
}

func (s *memoryStore) Unlock(_ context.Context, key, owner string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owner[key] == owner {
		s.owner[key] = ""
	}
	return nil
}

func TestWX17_ProcessesOnOneStoreFetchOnce(t *testing.T) {
	q, store := startQYAPI(t), newMemoryStore()
	q.answer(exchangePath, memberAnswer)
	var group sync.WaitGroup
	for range 5 {
		c := newClient(t, q.api(t), app(), wecom.Options{Store: store})
		for range 20 {
			group.Go(func() {
				if _, err := c.Exchange(t.Context(), code); err != nil {
					t.Error(err)
				}
			})
		}
	}
	group.Wait()
	q.wantFetches(t, 1)
	q.revoke()
	for range 5 {
		c := newClient(t, q.api(t), app(), wecom.Options{Store: store})
		if _, err := c.Exchange(t.Context(), code); err != nil {
			t.Error(err)
		}
	}
	q.wantFetches(t, 2)
}

// A token is one of a corp and a secret (§1.1): what is kept for one is not given to
// another, and the store does not learn the secret.
func TestToken_IsKeptByCorpAndSecret(t *testing.T) {
	q, store := startQYAPI(t), newMemoryStore()
	q.failing = `{"errcode":0,"errmsg":"ok","access_token":"lent-token-0","expires_in":7200}`
	others := []wecom.App{app(), app(), app()}
	others[1].Secret = wechat.Secret(secret[1:] + "x")
	others[2].CorpID = "ww0000000000000000"
	for i, other := range others {
		for range 2 {
			if _, err := newClient(t, q.api(t), other, wecom.Options{Store: store}).Tokens().Token(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		q.wantFetches(t, i+1)
	}
	for key := range store.tokens {
		wantNothingPrivate(t, key)
	}
}

func TestTickets_AreOfCorpAndAgent(t *testing.T) {
	q := startQYAPI(t)
	q.answer("/cgi-bin/get_jsapi_ticket", `{"errcode":0,"errmsg":"ok","ticket":"bxLdikRXVbTPdHSM05e5u5sUoXNKd8","expires_in":7200}`)
	q.answer("/cgi-bin/ticket/get", `{"errcode":0,"errmsg":"ok","ticket":"XEdpA1b2C3d4E5f6G7h8vhA==","expires_in":7200}`)
	c := newClient(t, q.api(t), app(), wecom.Options{Store: newMemoryStore()})
	for range 3 {
		corp, err := c.CorpTickets().Ticket(t.Context())
		if err != nil || corp.Value != "bxLdikRXVbTPdHSM05e5u5sUoXNKd8" {
			t.Error(corp.Value.Reveal(), err)
		}
		agent, err := c.AgentTickets().Ticket(t.Context())
		if err != nil || agent.Value != "XEdpA1b2C3d4E5f6G7h8vhA==" {
			t.Error(agent.Value.Reveal(), err)
		}
	}
	if got := q.seen("/cgi-bin/get_jsapi_ticket"); len(got) != 1 || got[0].URL.Query().Has("type") {
		t.Errorf("%d calls of get_jsapi_ticket", len(got))
	}
	if got := q.seen("/cgi-bin/ticket/get"); len(got) != 1 || got[0].URL.Query().Get("type") != "agent_config" {
		t.Errorf("%d calls of ticket/get", len(got))
	}
}

// 100 fetches an hour are an app's quota (§1.4).
func TestTickets_ManyPagesAreFewFetches(t *testing.T) {
	q := startQYAPI(t)
	q.answer("/cgi-bin/get_jsapi_ticket", `{"errcode":0,"errmsg":"ok","ticket":"bxLdikRXVbTPdHSM05e5u5sUoXNKd8","expires_in":7200}`)
	tickets := q.client(t).CorpTickets()
	for range 60 * 60 {
		if _, err := tickets.Ticket(t.Context()); err != nil {
			t.Fatal(err)
		}
		q.clock.advance(time.Second)
	}
	if got := len(q.seen("/cgi-bin/get_jsapi_ticket")); got > 10 {
		t.Errorf("%d fetches in an hour", got)
	}
	for range 60 {
		_, _ = tickets.Ticket(t.Context())
		current, _ := tickets.Ticket(t.Context())
		tickets.Drop(current.Value) // a page that says 40093 whatever it gets
		q.clock.advance(time.Minute)
	}
	if got := len(q.seen("/cgi-bin/get_jsapi_ticket")); got > 60 {
		t.Errorf("%d fetches in two hours, with a page that cries wolf", got)
	}
}

// The known answers of wecom-protocol §8.
func TestKnownAnswers_JSSDK(t *testing.T) {
	const known = "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg"
	for page, want := range map[string]string{
		"http://mp.weixin.qq.com?params=value":                         "0f9de62fce790f9a083d5c99e95740ceb90c27ed",
		"https://app.example.com/login/cb?code=abc%2B1&state=xyz":      "7515a40d50c79cb9302c11ef0bbb6aeab5930338",
		"https://app.example.com/":                                     "4101ac69c01406bda7df375b773ddbc1866268e6",
		"https://app.example.com/#what-follows-the-hash-does-not-sign": "4101ac69c01406bda7df375b773ddbc1866268e6",
	} {
		if got := wechat.SignJSSDK(known, "Wm3WZYTPz0wzccnW", 1414587457, page); got != want {
			t.Errorf("%s: %s, want %s", page, got, want)
		}
	}
}
