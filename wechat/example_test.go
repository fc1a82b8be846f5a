package wechat_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"

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

// All calls below cgi-bin and wxa carry the app's token. One AppTokens serves a
// whole program; with a TokenStore, a whole fleet of them.
func ExampleAppTokens() {
	tokens, err := wechat.NewAppTokens(&wechat.API{}, wechat.App{ID: "wx4f4bc4dec97d474b", Secret: "…"}, wechat.AppTokenOptions{})
	if err != nil {
		panic(err)
	}
	_ = func(ctx context.Context, openID string) (string, error) {
		follower, err := tokens.Follower(ctx, openID)
		if err != nil {
			return "", err
		}
		if !follower.Subscribed {
			return "", errors.New("please follow us first")
		}
		return follower.UnionID, nil
	}
}

// A call that this package does not have. Say what WeChat answered in an Error,
// and a token that has been ended early is replaced behind your back.
func ExampleAppTokens_Do() {
	tokens, err := wechat.NewAppTokens(&wechat.API{}, wechat.App{ID: "wx4f4bc4dec97d474b", Secret: "…"}, wechat.AppTokenOptions{})
	if err != nil {
		panic(err)
	}
	client := wechat.NewHTTPClient()
	_ = func(ctx context.Context) (menu json.RawMessage, err error) {
		err = tokens.Do(ctx, func(ctx context.Context, token wechat.Secret) error {
			query := url.Values{"access_token": {token.Reveal()}}
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.weixin.qq.com/cgi-bin/menu/get?"+query.Encode(), nil)
			if err != nil {
				return errors.New("the request cannot be made") // err shows the URL, and that the token
			}
			resp, err := client.Do(req)
			if err != nil {
				return errors.New("WeChat does not answer")
			}
			defer resp.Body.Close()
			var answer struct {
				Code    int    `json:"errcode"`
				Message string `json:"errmsg"`
				Menu    json.RawMessage
			}
			if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
				return errors.New("WeChat answers nonsense")
			}
			if answer.Code != 0 {
				return &wechat.Error{Op: "cgi-bin/menu/get", Code: answer.Code, Message: answer.Message}
			}
			menu = answer.Menu
			return nil
		})
		return menu, err
	}
}

// The address that the console asks for under 服务器配置: it answers the console's
// GET, and greets who writes to the account.
func ExampleCallback() {
	callback, err := wechat.NewCallback(wechat.CallbackConfig{
		AppID:  "wx4f4bc4dec97d474b",
		Token:  "…",
		AESKey: "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
	})
	if err != nil {
		panic(err)
	}
	http.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		echo, err := callback.Verify(r.URL.Query())
		if err != nil {
			http.Error(w, "forbidden", http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, echo)
	})
	http.HandleFunc("POST /events", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, wechat.MaxCallbackBody))
		if err != nil {
			http.Error(w, "too long", http.StatusRequestEntityTooLarge)
			return
		}
		message, err := callback.Open(r.URL.Query(), body)
		switch {
		case errors.Is(err, wechat.ErrMalformed):
			http.Error(w, "malformed", http.StatusBadRequest)
			return
		case err != nil:
			log.Print(err) // says what to mend, shows no secret
			http.Error(w, "forbidden", http.StatusForbidden)
			return
		}
		// message.Key() is that of an earlier one if WeChat repeats itself: keep the
		// keys of some minutes, and answer what they have answered "success".
		if message.Type != wechat.MessageText {
			io.WriteString(w, wechat.CallbackSuccess)
			return
		}
		reply, err := callback.TextReply(message, "You said: "+message.Content)
		if err != nil {
			io.WriteString(w, wechat.CallbackSuccess)
			return
		}
		w.Header().Set("Content-Type", message.ContentType())
		w.Write(reply)
	})
}
