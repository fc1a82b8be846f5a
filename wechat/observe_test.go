package wechat_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"wxbridge/wechat"
)

func TestObserve_HearsOfEachRequest(t *testing.T) {
	for name, row := range map[string]struct {
		answer http.HandlerFunc
		codes  []int // of each request; -2 stands for no error
	}{
		"a good answer":    {answers(golden(t, "userinfo.json")), []int{-2}},
		"an errcode":       {answers(`{"errcode":48001,"errmsg":"api unauthorized"}`), []int{48001}},
		"busy, then good":  {answers(`{"errcode":-1,"errmsg":"system error"}`, golden(t, "userinfo.json")), []int{-1, -2}},
		"nothing sensible": {answers(`<html>`), []int{0}},
		"a bad status":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, []int{0}},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var heard []wechat.Call
			api := startUpstream(t, row.answer).api(t)
			api.Observe = func(c wechat.Call) {
				mu.Lock()
				defer mu.Unlock()
				heard = append(heard, c)
			}
			_, err := newOfficial(t, api).UserInfo(t.Context(), wechat.UserToken{AccessToken: "61_a", OpenID: openID}, "")
			if failed := row.codes[len(row.codes)-1] != -2; (err != nil) != failed {
				t.Fatal(err)
			}
			if len(heard) != len(row.codes) {
				t.Fatalf("%+v", heard)
			}
			for i, c := range heard {
				code := -2
				if c.Err != nil {
					code = c.Err.Code
				}
				if c.Path != "/sns/userinfo" || code != row.codes[i] || c.Took <= 0 || c.Took > 10*time.Second {
					t.Errorf("request %d: %+v, want errcode %d", i, c, row.codes[i])
				}
			}
		})
	}
}

func TestObserve_HearsOfARequestThatWasGivenUp(t *testing.T) {
	asked := make(chan struct{})
	up := startUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
		_, _ = io.WriteString(w, "{}")
	})
	heard := make(chan wechat.Call, 1)
	api := up.api(t)
	api.Observe = func(c wechat.Call) { heard <- c }
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if _, err := newMiniProgram(t, api).Login(ctx, code); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if c := <-heard; c.Path != "/sns/jscode2session" || c.Err == nil || c.Err.Code != 0 {
		t.Errorf("%+v", c)
	}
}
