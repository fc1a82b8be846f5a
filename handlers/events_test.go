package handlers_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"wxbridge/db"
	"wxbridge/handlers"
	"wxbridge/internal/ratelimit"
	"wxbridge/wechat/simulator"
)

func TestEvents_TheConsoleSavesTheAddress(t *testing.T) {
	for _, mode := range pushModes {
		t.Run(mode, func(t *testing.T) {
			e := newEventBridge(t, mode)
			report, err := e.sim.VerifyCallback(t.Context(), e.official.AppID)
			must(t, err)
			if !report.Verified {
				t.Errorf("%+v", report)
			}
			e.mu.Lock()
			defer e.mu.Unlock()
			if kind := e.answers[0].header.Get("Content-Type"); !strings.HasPrefix(kind, "text/plain") {
				t.Errorf("Content-Type %q: a browser might run what is echoed", kind)
			}
		})
	}
}

func TestWX10_TheAddressEchoesNothingUnsigned(t *testing.T) {
	e := newEventBridge(t, simulator.ModeAES)
	_, err := e.sim.VerifyCallback(t.Context(), e.official.AppID)
	must(t, err)
	for name, row := range map[string]struct {
		change func(url.Values)
		status int
	}{
		"as it was":            {func(url.Values) {}, http.StatusOK},
		"another signature":    {func(q url.Values) { q.Set("signature", strings.Repeat("0", 40)) }, http.StatusForbidden},
		"no signature":         {func(q url.Values) { q.Del("signature") }, http.StatusForbidden},
		"two signatures":       {func(q url.Values) { q.Add("signature", q.Get("signature")) }, http.StatusForbidden},
		"another nonce":        {func(q url.Values) { q.Set("nonce", "1") }, http.StatusForbidden},
		"no echostr":           {func(q url.Values) { q.Del("echostr") }, http.StatusBadRequest},
		"two echostr":          {func(q url.Values) { q.Add("echostr", "1") }, http.StatusBadRequest},
		"echostr is markup":    {func(q url.Values) { q.Set("echostr", "<script>alert(1)</script>") }, http.StatusBadRequest},
		"app given twice":      {func(q url.Values) { q["app"] = []string{"default", "default"} }, http.StatusBadRequest},
		"an app there is not":  {func(q url.Values) { q.Set("app", "other") }, http.StatusNotFound},
		"the app by its appid": {func(q url.Values) { q.Set("app", e.official.AppID) }, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			q := e.last().query
			row.change(q)
			if a := e.send("GET", q, ""); a.status != row.status || (a.status == http.StatusOK) != (a.body == q.Get("echostr")) {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	q := e.last().query
	e.clock.Advance(6 * time.Minute)
	if a := e.send("GET", q, ""); a.status != http.StatusForbidden {
		t.Errorf("after six minutes: %d %s", a.status, a.body)
	}
}

func TestEvents_AnAppWithoutATokenHasNoAddress(t *testing.T) {
	e := newEventBridge(t, simulator.ModeAES, func(c *handlers.Config) { c.OfficialAccounts[0].Callback = nil })
	for _, method := range []string{"GET", "POST"} {
		if a := e.send(method, e.signed(), "<xml></xml>"); a.status != http.StatusNotFound {
			t.Errorf("%s: %d %s", method, a.status, a.body)
		}
	}
	bare := newBridge(t, func(c *handlers.Config) { c.OfficialAccounts = nil })
	if p := bare.browser("").do("POST", eventsPath, ""); p.StatusCode != http.StatusNotFound {
		t.Errorf("without official accounts: %d", p.StatusCode)
	}
}

// pushKinds are the pushes of wechat-protocol §5.4, with what backends are told of each.
var pushKinds = []struct {
	event simulator.Event
	told  string
	data  map[string]string
}{
	{simulator.Event{Name: "subscribe"}, "subscribe", map[string]string{"event": "subscribe"}},
	{simulator.Event{Name: "subscribe", Scene: "shop_7"}, "subscribe", map[string]string{"scene": "shop_7"}},
	{simulator.Event{Name: "SCAN", Scene: "login_1"}, "scan", map[string]string{"event": "SCAN", "scene": "login_1"}},
	{simulator.Event{Name: "CLICK", Key: "V1001_TODAY"}, "click", map[string]string{"key": "V1001_TODAY"}},
	{simulator.Event{Name: "VIEW", URL: "https://h5.example.com/?a=1&b=2"}, "view", map[string]string{"url": "https://h5.example.com/?a=1&b=2"}},
	{simulator.Event{Name: "view_miniprogram", Path: "pages/index/index"}, "view_miniprogram", map[string]string{"path": "pages/index/index"}},
	{simulator.Event{Name: "LOCATION", Latitude: "23.137466", Longitude: "113.352425"}, "location", map[string]string{"latitude": "23.137466", "longitude": "113.352425"}},
	{simulator.Event{Name: "text", Content: "你好 ]]> <b> & 😀"}, "message", map[string]string{"message_type": "text", "content": "你好 ]]> <b> & 😀"}},
	{simulator.Event{Name: "image", URL: "http://mmbiz.example/x"}, "message", map[string]string{"message_type": "image"}},
	{simulator.Event{Name: "voice"}, "message", map[string]string{"message_type": "voice"}},
	{simulator.Event{Name: "TEMPLATESENDJOBFINISH", Fields: map[string]string{"MsgID": "200163836", "Status": "success"}}, "event", map[string]string{"event": "TEMPLATESENDJOBFINISH"}},
	{simulator.Event{Name: "unsubscribe"}, "unsubscribe", nil},
	{simulator.Event{Name: "user_info_modified"}, "user_info_modified", map[string]string{"revoke_info": "205"}},
	{simulator.Event{Name: "user_authorization_revoke"}, "authorization_revoke", map[string]string{"revoke_info": "205"}},
	{simulator.Event{Name: "user_authorization_cancellation"}, "authorization_cancellation", nil},
}

// WX-13: WeChat repeats what it thinks was not answered, also while the first is still being worked on.
func TestWX13_EachKindOfPushFiveTimesAtOnceHasOneEffect(t *testing.T) {
	for _, mode := range pushModes {
		e := newEventBridge(t, mode)
		e.browser("bob").register()
		fan, _ := e.identity("bob")
		e.told()
		for _, kind := range pushKinds {
			t.Run(mode+" "+kind.event.Name+" "+kind.event.Scene, func(t *testing.T) {
				e.clock.Advance(time.Second)
				e.mu.Lock()
				e.copies = 5
				e.mu.Unlock()
				report := e.delivered("bob", kind.event)
				if report.Reply.Kind != simulator.ReplyNone {
					t.Errorf("answered %+v", report.Reply)
				}
				for _, a := range e.answers {
					if a.status != http.StatusOK || a.body != "success" || a.took > 3*time.Second { // WeChat gives up after five
						t.Errorf("a copy was answered %d %q after %v", a.status, a.body, a.took)
					}
				}
				if a := e.send("POST", e.last().query, e.last().body); a.status != http.StatusOK || a.body != "success" {
					t.Errorf("a later repeat was answered %d %q", a.status, a.body)
				}
				var own []toldEvent
				for _, told := range e.told() {
					if strings.HasPrefix(told.Type, "official_account.") {
						own = append(own, told)
					}
				}
				if typesOf(own) != "official_account."+kind.told {
					t.Fatalf("told %q, want official_account.%s once", typesOf(own), kind.told)
				}
				e.checkTold(t, own[0], kind.data, fan.ID, report.Message)
			})
		}
	}
}

func (e *eventBridge) checkTold(t *testing.T, told toldEvent, want map[string]string, fan, raw string) {
	t.Helper()
	for name, value := range want {
		if told.Data[name] != value {
			t.Errorf("%s is %v, want %q", name, told.Data[name], value)
		}
	}
	identity := told.Data["identity"].(map[string]any)
	if identity["openid"] != e.openID("bob") || identity["appid"] != e.official.AppID || identity["provider"] != "official_account" {
		t.Errorf("identity %v", identity)
	}
	if owner, _ := told.Data["fan"].(map[string]any); owner["id"] != fan {
		t.Errorf("fan %v, want %s", told.Data["fan"], fan)
	}
	if told.Data["encrypted"] != (e.mode != simulator.ModePlain) || told.Data["app"] != "default" {
		t.Errorf("encrypted %v, app %v", told.Data["encrypted"], told.Data["app"])
	}
	if told.Data["raw"] != raw {
		t.Errorf("raw is %v\nwant %s", told.Data["raw"], raw)
	}
	if told.ID == "" || e.clock.Now().Sub(told.CreatedAt).Abs() > 2*time.Second {
		t.Errorf("id %q, created %v", told.ID, told.CreatedAt)
	}
}

func TestEvents_FollowingIsShownInMe(t *testing.T) {
	for _, mode := range pushModes {
		t.Run(mode, func(t *testing.T) {
			e := newEventBridge(t, mode)
			bob := e.browser("bob")
			bob.register()
			e.delivered("bob", simulator.Event{Name: "subscribe"})
			subscribed := e.last()
			if got := bob.followed(); got != true {
				t.Errorf("after subscribe: %v", got)
			}
			e.clock.Advance(time.Second)
			e.delivered("bob", simulator.Event{Name: "unsubscribe"})
			if got := bob.followed(); got != false {
				t.Errorf("after unsubscribe: %v", got)
			}
			if a := e.send("POST", subscribed.query, subscribed.body); a.body != "success" {
				t.Errorf("the replay was answered %d %q", a.status, a.body)
			}
			if got := bob.followed(); got != false {
				t.Errorf("after the replayed subscribe: %v", got)
			}
		})
	}
}

// Somebody who writes to the account has not logged in: nothing is kept of them but what backends are to be told.
func TestEvents_AStrangerWhoFollowsIsNoFan(t *testing.T) {
	e := newEventBridge(t, simulator.ModeAES)
	e.delivered("bob", simulator.Event{Name: "subscribe"})
	told := e.told()
	if typesOf(told) != "official_account.subscribe" || told[0].Data["fan"] != nil {
		t.Errorf("told %+v", told)
	}
	fans, err := e.store.Fans(t.Context(), db.FanFilter{Limit: 10})
	must(t, err)
	if len(fans) != 0 {
		t.Errorf("fans: %+v", fans)
	}
}

func TestEvents_AnotherAppsPushesAreItsOwn(t *testing.T) {
	e := newEventBridge(t, simulator.ModeAES)
	e.browser("bob").register()
	e.told()
	report, err := e.sim.Push(t.Context(), e.second.AppID, "bob", simulator.Event{Name: "subscribe"})
	must(t, err)
	if !report.Delivered {
		t.Fatalf("%+v", report)
	}
	if told := e.told(); len(told) != 1 || told[0].Data["app"] != "second" || told[0].Data["fan"] != nil {
		t.Errorf("told %+v", told)
	}
	if _, identity := e.identity("bob"); identity.Subscribed != nil && *identity.Subscribed {
		t.Error("WX-04: the push of one app has changed an identity of another")
	}
	p := e.last()
	p.query.Del("app")
	if a := e.send("POST", p.query, p.body); a.status != http.StatusForbidden {
		t.Errorf("WX-12: encrypted for one app and sent to another: %d %s", a.status, a.body)
	}
}

func TestEvents_AWithdrawnProfileLeavesAGuest(t *testing.T) {
	for _, mode := range []string{simulator.ModeCompatible, simulator.ModeAES} {
		t.Run(mode, func(t *testing.T) {
			e := newEventBridge(t, mode)
			bob := e.browser("bob")
			bob.register()
			before, identity := e.identity("bob")
			if before.Nickname == "" || len(identity.UserRefreshTokenSealed) == 0 || len(identity.ProfileJSON) == 0 {
				t.Fatalf("nothing to withdraw: %+v", identity)
			}
			e.delivered("bob", simulator.Event{Name: "user_authorization_revoke", RevokeInfo: "203"})
			if fan, _ := e.identity("bob"); fan.Nickname != before.Nickname {
				t.Error("erased for something that the bridge never had")
			}
			e.delivered("bob", simulator.Event{Name: "user_authorization_revoke"})
			fan, identity := e.identity("bob")
			if fan.Nickname != "" || fan.AvatarURL != "" || fan.Registered() || fan.ID != before.ID {
				t.Errorf("fan %+v", fan)
			}
			if len(identity.UserRefreshTokenSealed) > 0 || len(identity.ProfileJSON) > 0 || identity.Scope == "snsapi_userinfo" {
				t.Errorf("identity %+v", identity)
			}
			if me := bob.me(); me["nickname"] != "" || me["registered"] != false {
				t.Errorf("/me: %v", me)
			}
			if p := e.browser("bob").visit("/login"); p.Request.URL.Path != "/login/register" {
				t.Errorf("the next login ends at %s, want the register page", p.Request.URL)
			}
			if !strings.Contains(e.log.String(), `"event":"fan.profile_withdrawn"`) {
				t.Error("not logged")
			}
		})
	}
}

func TestEvents_AClosedAccountIsErasedWithItsTokens(t *testing.T) {
	e := newEventBridge(t, simulator.ModeAES)
	bob := e.browser("bob")
	bob.register()
	fan, _ := e.identity("bob")
	e.delivered("bob", simulator.Event{Name: "user_authorization_cancellation"})
	if _, err := e.store.Fan(t.Context(), fan.ID); !errors.Is(err, db.ErrNotFound) {
		t.Errorf("the fan is still there: %v", err)
	}
	if claims, ok := bob.claims(); ok {
		t.Errorf("a token is good until %v", claims.ExpiresAt)
	}
	if p := bob.get("/me"); p.StatusCode != http.StatusUnauthorized {
		t.Errorf("/me: %d", p.StatusCode)
	}
	types := typesOf(e.told())
	if !strings.HasSuffix(types, "official_account.authorization_cancellation fan.erased") {
		t.Errorf("told %s", types)
	}
	if !strings.Contains(e.log.String(), `"event":"fan.erased"`) {
		t.Error("not logged")
	}
}

// WX-11: in plain mode anybody who has seen one address can send this.
func TestWX11_APlainPushErasesNobody(t *testing.T) {
	e := newEventBridge(t, simulator.ModePlain)
	bob := e.browser("bob")
	bob.register()
	before, identity := e.identity("bob")
	for _, name := range []string{"user_authorization_revoke", "user_authorization_cancellation", "user_info_modified"} {
		e.delivered("bob", simulator.Event{Name: name})
	}
	after, now := e.identity("bob")
	if after != before || string(now.ProfileJSON) != string(identity.ProfileJSON) || now.ProfileStale {
		t.Errorf("changed: %+v %+v", after, now)
	}
	if _, ok := bob.claims(); !ok {
		t.Error("logged out")
	}
	if got := typesOf(e.told()); strings.Count(got, "official_account.") != 3 || strings.Contains(got, "erased") || strings.Contains(got, "updated") {
		t.Errorf("told %s", got)
	}
	if strings.Count(e.log.String(), `"event":"message.not_believed"`) != 3 {
		t.Error("an operator who has to see to it is not told")
	}
}

func TestEvents_AModifiedProfileIsAskedForAgain(t *testing.T) {
	for name, row := range map[string]struct {
		policy handlers.ProfilePolicy
		forget bool // the refresh token is gone
		end    string
		fresh  bool
	}{
		"silently, with the refresh token":  {end: "/", fresh: true},
		"by the register page, without one": {forget: true, end: "/login/register"},
		"never by a page where nobody is":   {policy: handlers.ProfilePolicy{Never: true}, forget: true, end: "/"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEventBridge(t, simulator.ModeAES, func(c *handlers.Config) { c.ProfilePolicy = row.policy })
			e.browser("bob").register()
			e.clock.Advance(time.Hour)
			if p := e.browser("bob").visit("/login"); p.Request.URL.Path != "/" || e.calls("/sns/userinfo") != 1 {
				t.Fatalf("before: %s, %d calls", p.Request.URL, e.calls("/sns/userinfo"))
			}
			e.delivered("bob", simulator.Event{Name: "user_info_modified"})
			if row.forget {
				must(t, e.store.ForgetUserRefreshToken(t.Context(), db.ProviderOfficialAccount, e.official.AppID, e.openID("bob")))
			}
			if p := e.browser("bob").visit("/login"); p.Request.URL.Path != row.end {
				t.Errorf("the login ends at %s, want %s", p.Request.URL, row.end)
			}
			fan, identity := e.identity("bob")
			if identity.ProfileStale == row.fresh || row.fresh != (e.clock.Now().Sub(fan.ProfileAt) < time.Minute) {
				t.Errorf("stale %v, profile of %v", identity.ProfileStale, fan.ProfileAt)
			}
			if row.fresh {
				calls := e.calls("/sns/userinfo")
				if p := e.browser("bob").visit("/login"); p.Request.URL.Path != "/" || e.calls("/sns/userinfo") != calls {
					t.Error("it is asked for at every login")
				}
			}
		})
	}
}

func TestWX10_ForgedReplayedAndMalformedPushesChangeNothing(t *testing.T) {
	for _, mode := range pushModes {
		e := newEventBridge(t, mode)
		bob := e.browser("bob")
		bob.register()
		e.told()
		for _, row := range hostilePushes(e) {
			t.Run(mode+" "+row.name, func(t *testing.T) {
				before := len(e.log.String())
				a := e.send("POST", row.push.query, row.push.body, row.header...)
				if a.status != row.status || a.body == "success" {
					t.Errorf("answered %d %s, want %d", a.status, a.body, row.status)
				}
				if got := typesOf(e.told()); got != "" {
					t.Errorf("told %s", got)
				}
				if got := bob.followed(); got == true {
					t.Errorf("subscribed is %v", got)
				}
				if line := e.log.String()[before:]; row.event != "" && !strings.Contains(line, `"event":"`+row.event+`"`) {
					t.Errorf("LOG-03: no event %s in %s", row.event, line)
				}
			})
		}
		for _, secret := range []string{e.official.Token, e.official.EncodingAESKey, e.openID("bob")} {
			if strings.Contains(e.log.String(), secret) {
				t.Errorf("%s: LOG-01, WX-01: the log shows %s", mode, secret)
			}
		}
	}
}

type hostilePush struct {
	name   string
	push   pushed
	status int
	event  string
	header []string
}

// follow is the XML of a good subscribe of bob's.
func (e *eventBridge) follow(extra string) string {
	return "<xml><ToUserName>gh_0</ToUserName><FromUserName>" + e.openID("bob") + "</FromUserName><CreateTime>" +
		fmt.Sprint(e.clock.Now().Unix()) + "</CreateTime><MsgType>event</MsgType><Event>subscribe</Event>" + extra + "</xml>"
}

func hostilePushes(e *eventBridge) []hostilePush {
	good := e.carry(e.follow(""))
	with := func(change func(*pushed)) pushed {
		p := pushed{url.Values{}, good.body}
		for k, v := range good.query {
			p.query[k] = v
		}
		change(&p)
		return p
	}
	signature := "message.bad_signature"
	rows := []hostilePush{
		{name: "no query", push: pushed{nil, good.body}, status: 403, event: signature},
		{name: "no signature", push: with(func(p *pushed) { p.query.Del("signature") }), status: 403, event: signature},
		{name: "empty signature", push: with(func(p *pushed) { p.query.Set("signature", "") }), status: 403, event: signature},
		{name: "wrong signature", push: with(func(p *pushed) { p.query.Set("signature", strings.Repeat("a", 40)) }), status: 403, event: signature},
		{name: "signature in capitals", push: with(func(p *pushed) { p.query.Set("signature", strings.ToUpper(p.query.Get("signature"))) }), status: 403, event: signature},
		{name: "signature of another nonce", push: with(func(p *pushed) { p.query.Set("nonce", "2") }), status: 403, event: signature},
		{name: "signature of another time", push: with(func(p *pushed) { p.query.Set("timestamp", p.query.Get("timestamp")+"0") }), status: 403, event: signature},
		{name: "no nonce", push: with(func(p *pushed) { p.query.Del("nonce") }), status: 403, event: signature},
		{name: "two timestamps", push: with(func(p *pushed) { p.query.Add("timestamp", p.query.Get("timestamp")) }), status: 403, event: signature},
		{name: "two nonces", push: with(func(p *pushed) { p.query.Add("nonce", "9") }), status: 403, event: signature},
		{name: "digits moved from time to nonce", push: with(func(p *pushed) {
			at, nonce := p.query.Get("timestamp"), p.query.Get("nonce")
			p.query.Set("timestamp", at[:len(at)-1])
			p.query.Set("nonce", at[len(at)-1:]+nonce)
		}), status: 403},
		{name: "six minutes old", push: e.aged(-6 * time.Minute), status: 403, event: "message.stale"},
		{name: "from the future", push: e.aged(6 * time.Minute), status: 403, event: "message.stale"},
		{name: "an app there is not", push: with(func(p *pushed) { p.query.Set("app", "nobody") }), status: 404},
		{name: "compressed", push: good, status: 415, header: []string{"Content-Encoding", "gzip"}},
		{name: "oversized", push: pushed{good.query, strings.Repeat(" ", 64<<10) + good.body}, status: 413},
		{name: "oversized and unsigned", push: pushed{url.Values{}, strings.Repeat("x", 1<<20)}, status: 403, event: signature},
		{name: "empty", push: pushed{good.query, ""}, status: 400, event: "message.malformed"},
		{name: "no XML", push: pushed{good.query, "hello"}, status: 400, event: "message.malformed"},
	}
	for name, xml := range map[string]string{
		"doctype":                  "<!DOCTYPE xml>" + e.follow(""),
		"external entity":          `<!DOCTYPE xml [<!ENTITY e SYSTEM "file:///etc/passwd">]>` + e.follow("<EventKey>&e;</EventKey>"),
		"entity without a doctype": e.follow("<EventKey>&e;</EventKey>"),
		"a thousand laughs":        laughs() + e.follow("<EventKey>&l9;</EventKey>"),
		"processing instruction":   `<?xml-stylesheet href="x"?>` + e.follow(""),
		"two declarations":         `<?xml version="1.0"?><?xml version="1.0"?>` + e.follow(""),
		"comment":                  e.follow("<!-- x -->"),
		"namespace":                e.follow(`<x:EventKey xmlns:x="y">a</x:EventKey>`),
		"nested 2,000 levels":      e.follow(strings.Repeat("<a>", 2000) + strings.Repeat("</a>", 2000)),
		"repeated FromUserName":    e.follow("<FromUserName>oOther</FromUserName>"),
		"repeated Event":           e.follow("<Event>unsubscribe</Event>"),
		"two roots":                e.follow("") + e.follow(""),
		"another root":             strings.ReplaceAll(e.follow(""), "xml>", "html>"),
		"text beside the root":     e.follow("") + "x",
		"cut off":                  e.follow("")[:60],
		"no sender":                "<xml><CreateTime>1</CreateTime><MsgType>event</MsgType><Event>subscribe</Event></xml>",
		"sender inside another":    "<xml><a><FromUserName>" + e.openID("bob") + "</FromUserName></a><CreateTime>1</CreateTime><MsgType>event</MsgType><Event>subscribe</Event></xml>",
		"no time":                  strings.ReplaceAll(e.follow(""), "CreateTime", "Created"),
		"a time of letters":        "<xml><FromUserName>o</FromUserName><CreateTime>now</CreateTime><MsgType>event</MsgType><Event>subscribe</Event></xml>",
		"no type":                  strings.ReplaceAll(e.follow(""), "MsgType", "Type"),
		"no event":                 strings.ReplaceAll(e.follow(""), "Event>", "Happening>"),
	} {
		rows = append(rows, hostilePush{name: name, push: e.carry(xml), status: 400, event: "message.malformed"})
	}
	if e.mode == simulator.ModePlain {
		return append(rows, hostilePush{name: "encrypted, without a key here", push: e.sealed(e.follow("")), status: 403, event: "message.undecryptable"})
	}
	return append(rows, hostileCiphers(e, with)...)
}

// laughs declares entities that would grow by ten at each of ten levels.
func laughs() string {
	entities := `<!ENTITY l0 "ha">`
	for i := range 9 {
		entities += fmt.Sprintf(`<!ENTITY l%d "%s">`, i+1, strings.Repeat(fmt.Sprintf("&l%d;", i), 10))
	}
	return "<!DOCTYPE xml [" + entities + "]>"
}

// aged is a good push whose signature is of another time.
func (e *eventBridge) aged(d time.Duration) pushed {
	e.clock.Advance(d)
	defer e.clock.Advance(-d)
	return e.carry(e.follow(""))
}

// hostileCiphers are about the encryption.
func hostileCiphers(e *eventBridge, with func(func(*pushed)) pushed) []hostilePush {
	plain := pushed{e.signed(), e.follow("")}
	beside := e.sealed("<xml></xml>")
	beside.body = strings.Replace(e.follow(""), "</xml>", strings.TrimPrefix(strings.Split(beside.body, "</ToUserName>")[1], ""), 1)
	otherKey := strings.Repeat("A", 43)
	const signature, secret = "message.bad_signature", "message.undecryptable"
	return []hostilePush{
		{name: "WX-11 plain, with a valid signature", push: plain, status: 403, event: signature},
		{name: "WX-11 plain fields beside an empty encrypted message", push: beside, status: 400, event: "message.malformed"},
		{name: "WX-11 another ciphertext under the same signature", push: with(func(p *pushed) { p.body = e.sealed(e.follow("<EventKey>x</EventKey>")).body }), status: 403, event: signature},
		{name: "no msg_signature", push: with(func(p *pushed) { p.query.Del("msg_signature") }), status: 403, event: signature},
		{name: "signature in the place of msg_signature", push: with(func(p *pushed) { p.query.Set("msg_signature", p.query.Get("signature")) }), status: 403, event: signature},
		{name: "two msg_signatures", push: with(func(p *pushed) { p.query.Add("msg_signature", "x") }), status: 403, event: signature},
		{name: "WX-12 another key", push: e.sealedFor(e.follow(""), otherKey, e.official.AppID), status: 403, event: secret},
		{name: "WX-12 for another app", push: e.sealedFor(e.follow(""), e.official.EncodingAESKey, e.second.AppID), status: 403, event: secret},
		{name: "WX-12 for an app whose id goes on", push: e.sealedFor(e.follow(""), e.official.EncodingAESKey, e.official.AppID+"0"), status: 403, event: secret},
		{name: "WX-12 truncated", push: e.envelope(strings.Split(strings.Split(e.sealed(e.follow("")).body, "CDATA[")[2], "]]")[0][:64]), status: 403, event: secret},
		{name: "WX-12 one block", push: e.envelope("AAAAAAAAAAAAAAAAAAAAAA=="), status: 403, event: secret},
		{name: "WX-12 no block", push: e.envelope("AAAA"), status: 403, event: secret},
		{name: "WX-12 no base64", push: e.envelope("!!!!"), status: 403, event: secret},
	}
}

// heldStore does not answer pushes until the caller gives up, as a store does whose disk hangs.
type heldStore struct {
	db.Store
	failing error // answered at once instead
}

func (s heldStore) ApplyPush(ctx context.Context, _ db.Push) (db.PushResult, error) {
	if s.failing != nil {
		return db.PushResult{}, s.failing
	}
	<-ctx.Done()
	return db.PushResult{}, ctx.Err()
}

// WX-14. What was not stored is not called a success: WeChat sends it again.
func TestWX14_ASlowOrBrokenStoreIsAnsweredInTimeAndLosesNothing(t *testing.T) {
	t.Parallel()
	for name, failing := range map[string]error{"slow": nil, "down": db.ErrUnavailable} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var whole db.Store
			e := newEventBridge(t, simulator.ModeAES, func(c *handlers.Config) {
				whole = c.Store
				c.Store = heldStore{c.Store, failing}
			})
			p := e.sealed(e.follow(""))
			a := e.send("POST", p.query, p.body)
			if a.status != http.StatusServiceUnavailable || a.took > 5*time.Second {
				t.Errorf("answered %d %s after %v", a.status, a.body, a.took)
			}
			result, err := whole.ApplyPush(t.Context(), db.Push{Provider: db.ProviderOfficialAccount, AppID: e.official.AppID, OpenID: "o", Key: "k"})
			if err != nil || result.Duplicate {
				t.Errorf("the store itself: %+v %v", result, err)
			}
		})
	}
}

func TestSRV04_PushesAreNeverLimited(t *testing.T) {
	e := newEventBridge(t, simulator.ModeAES, func(c *handlers.Config) { c.RateLimit = ratelimit.New(1, 10, c.Now) })
	for n := range 30 {
		e.clock.Advance(time.Second)
		if report := e.push("bob", simulator.Event{Name: "CLICK", Key: fmt.Sprint(n)}); !report.Delivered {
			t.Fatalf("push %d: %+v", n, report)
		}
	}
}
