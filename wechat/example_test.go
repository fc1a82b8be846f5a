package wechat_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"wxbridge/wechat"
)

// A mini program sends the code of wx.login; WeChat says whose it is.
func ExampleMiniProgram_Login() {
	program, err := wechat.NewMiniProgram(&wechat.API{}, wechat.App{ID: "wx4f4bc4dec97d474b", Secret: "…"})
	if err != nil {
		panic(err)
	}
	http.HandleFunc("POST /miniprogram/login", func(w http.ResponseWriter, r *http.Request) {
		session, err := program.Login(r.Context(), r.PostFormValue("code"))
		switch {
		case errors.Is(err, wechat.ErrInvalidCode):
			http.Error(w, "call wx.login again", http.StatusBadRequest)
		case err != nil:
			http.Error(w, "try again later", http.StatusServiceUnavailable)
		default:
			fmt.Fprintln(w, "hello", session.OpenID)
		}
	})
}

// A browser inside WeChat goes to AuthorizeURL and comes back with a code.
func ExampleOfficial() {
	account, err := wechat.NewOfficial(&wechat.API{}, wechat.App{ID: "wx4f4bc4dec97d474b", Secret: "…"}, wechat.OfficialOptions{})
	if err != nil {
		panic(err)
	}
	fmt.Println(account.AuthorizeURL("https://login.example.com/callback", wechat.ScopeUserinfo, "S7A7E"))

	_ = func(ctx context.Context, code string) (wechat.UserInfo, error) {
		token, err := account.Exchange(ctx, code)
		if err != nil {
			return wechat.UserInfo{}, err
		}
		if token.Snapshot {
			return wechat.UserInfo{}, errors.New("a snapshot page: ask for the full service")
		}
		return account.UserInfo(ctx, token, "zh_CN")
	}
	// Output:
	// https://open.weixin.qq.com/connect/oauth2/authorize?appid=wx4f4bc4dec97d474b&redirect_uri=https%3A%2F%2Flogin.example.com%2Fcallback&response_type=code&scope=snsapi_userinfo&state=S7A7E#wechat_redirect
}
