package simulator_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image/jpeg"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wxbridge/internal/testenv"
	"wxbridge/wechat/simulator"
)

func (w *world) createQR(body string) answer {
	w.t.Helper()
	return w.do("POST", "/cgi-bin/qrcode/create?access_token="+w.appToken(w.official), body, nil)
}

// qr makes a temporary code with a text for its scene.
func (w *world) qr(scene string) (ticket, address string) {
	w.t.Helper()
	v := w.createQR(fmt.Sprintf(`{"expire_seconds":300,"action_name":"QR_STR_SCENE","action_info":{"scene":{"scene_str":%q}}}`, scene)).json(w.t)
	if v["errcode"] != nil || v["errmsg"] != nil || len(v) != 3 {
		w.t.Fatalf("qrcode/create: %v", v)
	}
	return fmt.Sprint(v["ticket"]), fmt.Sprint(v["url"])
}

type scanReport struct {
	Kind, AppID, Event, Open, Shown string
	Following                       bool
	Push                            *struct{ Message string }
}

func (w *world) scan(body map[string]any) scanReport {
	w.t.Helper()
	var report scanReport
	if err := json.Unmarshal([]byte(w.control("POST", "scan", body).body), &report); err != nil {
		w.t.Fatal(err)
	}
	return report
}

func TestChecklist20_AStrangerSubscribesAndAFollowerScans(t *testing.T) {
	w, in := newInbox(t, simulator.ModeAES)
	ticket, address := w.qr("login_9f2c")
	for _, step := range []struct{ person, event, key string }{
		{"bob", "subscribe", "qrscene_login_9f2c"}, {"bob", "SCAN", "login_9f2c"}, {"alice", "SCAN", "login_9f2c"},
	} {
		report := w.scan(map[string]any{"person": step.person, "url": address})
		m := in.open(t, in.last(t))
		openid, _ := w.account(step.person, w.official.AppID)
		if m["Event"] != step.event || m["EventKey"] != step.key || m["Ticket"] != ticket || m["FromUserName"] != openid || report.Event != step.event || !report.Following {
			t.Errorf("%s: pushed %v, reported %+v", step.person, m, report)
		}
	}
	t.Run("unfollowed, they subscribe again", func(t *testing.T) {
		w.push("bob", "unsubscribe")
		w.scan(map[string]any{"person": "bob", "ticket": ticket})
		if m := in.open(t, in.last(t)); m["Event"] != "subscribe" || m["Ticket"] != ticket {
			t.Errorf("pushed %v", m)
		}
	})
	t.Run("a stranger who only looks, or does not want to, causes no event", func(t *testing.T) {
		before := len(in.letters())
		for _, consent := range []string{"wait", "deny"} {
			if report := w.scan(map[string]any{"person": "zoe", "url": address, "consent": consent}); report.Event != "" || report.Following || report.Kind != "account" {
				t.Errorf("%s: %+v", consent, report)
			}
		}
		if got := len(in.letters()) - before; got != 0 {
			t.Errorf("%d pushes", got)
		}
	})
	t.Run("the scene is told by user/info", func(t *testing.T) {
		openid, _ := w.account("bob", w.official.AppID)
		v := w.get("/cgi-bin/user/info?openid=" + openid + "&access_token=" + w.appToken(w.official)).json(t)
		if v["subscribe_scene"] != "ADD_SCENE_QR_CODE" || v["qr_scene_str"] != "login_9f2c" {
			t.Errorf("%v", v)
		}
	})
}

func TestChecklist20_AMalformedActionInfoIsSceneZero(t *testing.T) {
	w, in := newInbox(t, simulator.ModePlain)
	for _, body := range []string{
		`{"action_name":"QR_SCENE","action_info":{"scene_id":123}}`, `{"action_name":"QR_STR_SCENE","action_info":{"scene_str":"x"}}`,
		`{"action_name":"QR_SCENE"}`,
	} {
		ticket := fmt.Sprint(w.createQR(body).json(t)["ticket"])
		w.push("bob", "unsubscribe")
		w.scan(map[string]any{"person": "bob", "ticket": ticket})
		if m := parseMessage(t, in.last(t).body); m["EventKey"] != "qrscene_0" {
			t.Errorf("%s: %v", body, m)
		}
		w.scan(map[string]any{"person": "bob", "ticket": ticket})
		if m := parseMessage(t, in.last(t).body); m["EventKey"] != "0" || m["Event"] != "SCAN" {
			t.Errorf("%s: %v", body, m)
		}
	}
}

func TestChecklist20_WhatCreateTakes(t *testing.T) {
	w := newWorld(t, stoppedClock)
	life := func(body string) any {
		v := w.createQR(body).json(t)
		if v["ticket"] == nil {
			t.Fatalf("%s: %v", body, v)
		}
		return v["expire_seconds"]
	}
	for body, want := range map[string]any{
		`{"action_name":"QR_STR_SCENE","action_info":{"scene":{"scene_str":"` + strings.Repeat("字", 64) + `"}}}`:     "60",
		`{"action_name":"QR_SCENE","action_info":{"scene":{"scene_id":4294967295}}}`:                                 "60",
		`{"expire_seconds":2592000,"action_name":"QR_SCENE","action_info":{"scene":{"scene_id":1}}}`:                 "2592000",
		`{"expire_seconds":300,"action_name":"QR_LIMIT_SCENE","action_info":{"scene":{"scene_id":100000}}}`:          "<nil>",
		`{"expire_seconds":300,"action_name":"QR_LIMIT_STR_SCENE","action_info":{"scene":{"scene_str":"for ever"}}}`: "<nil>",
	} {
		if got := fmt.Sprint(life(body)); got != want {
			t.Errorf("%s: expire_seconds %s, want %s", body, got, want)
		}
	}
	for _, row := range []struct {
		body    string
		errcode int
	}{
		{"", 44002}, {"[]", 47001}, {`{}`, 40052}, {`{"action_name":"qr_scene"}`, 40052},
		{`{"action_name":"QR_SCENE","action_info":{"scene":{"scene_id":0}}}`, 40053}, {`{"action_name":"QR_SCENE","action_info":{"scene":{}}}`, 40053},
		{`{"action_name":"QR_SCENE","action_info":{"scene":{"scene_id":4294967296}}}`, 40053}, {`{"action_name":"QR_SCENE","action_info":{"scene":{"scene_id":-1}}}`, 40053},
		{`{"action_name":"QR_LIMIT_SCENE","action_info":{"scene":{"scene_id":100001}}}`, 40053},
		{`{"action_name":"QR_STR_SCENE","action_info":{"scene":{"scene_str":""}}}`, 40053},
		{`{"action_name":"QR_STR_SCENE","action_info":{"scene":{"scene_str":"` + strings.Repeat("x", 65) + `"}}}`, 40053},
		{`{"expire_seconds":2592001,"action_name":"QR_SCENE","action_info":{"scene":{"scene_id":1}}}`, 40097},
	} {
		w.createQR(row.body).errcode(t, row.errcode)
	}
	w.get("/cgi-bin/qrcode/create?access_token="+w.appToken(w.official)).errcode(t, 43002)
	w.do("POST", "/cgi-bin/qrcode/create?access_token="+w.appToken(w.mini), `{}`, nil).errcode(t, 48001)
}

func TestChecklist20_ACodeLives60SecondsByDefault(t *testing.T) {
	w, in := newInbox(t, simulator.ModePlain, stoppedClock)
	v := w.createQR(`{"action_name":"QR_STR_SCENE","action_info":{"scene":{"scene_str":"short"}}}`).json(t)
	show := "/cgi-bin/showqrcode?ticket=" + url.QueryEscape(fmt.Sprint(v["ticket"]))
	w.advance("59s")
	if got := w.get(show).status; got != http.StatusOK {
		t.Errorf("after 59 seconds: %d", got)
	}
	w.advance("1s")
	if got := w.get(show).status; got != http.StatusNotFound {
		t.Errorf("after 60 seconds: %d", got)
	}
	before := len(in.letters())
	if report := w.scan(map[string]any{"person": "alice", "url": v["url"]}); report.Shown == "" || report.Event != "" || len(in.letters()) != before {
		t.Errorf("scanned late: %+v", report)
	}
	forever := fmt.Sprint(w.createQR(`{"action_name":"QR_LIMIT_SCENE","action_info":{"scene":{"scene_id":7}}}`).json(t)["ticket"])
	w.advance("8760h")
	if got := w.get("/cgi-bin/showqrcode?ticket=" + url.QueryEscape(forever)).status; got != http.StatusOK {
		t.Errorf("a permanent one after a year: %d", got)
	}
}

func TestChecklist20_ShowQRCode(t *testing.T) {
	w := newWorld(t)
	for _, ticket := range []string{"", "nonsense", "gQ"} {
		if got := w.get("/cgi-bin/showqrcode?ticket=" + ticket).status; got != http.StatusNotFound {
			t.Errorf("ticket %q: %d", ticket, got)
		}
	}
	ticket, address := w.qr("a scene")
	picture := w.get("/cgi-bin/showqrcode?ticket=" + url.QueryEscape(ticket))
	if picture.status != http.StatusOK || picture.header.Get("Content-Type") != "image/jpg" {
		t.Fatalf("%d %s", picture.status, picture.header.Get("Content-Type"))
	}
	if image, err := jpeg.Decode(strings.NewReader(picture.body)); err != nil || image.Bounds().Dx() != 430 || image.Bounds().Dy() != 430 {
		t.Errorf("%v %v", err, image)
	}
	t.Run("an independent reader reads the address in it", func(t *testing.T) {
		if got := readQR(t, picture.body); got != address {
			t.Errorf("it says %q, want %q", got, address)
		}
	})
}

// readQR decodes a picture with zbarimg.
func readQR(t *testing.T, picture string) string {
	t.Helper()
	zbarimg := testenv.Program(t, "zbarimg")
	file := filepath.Join(t.TempDir(), "qr.jpg")
	if err := os.WriteFile(file, []byte(picture), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := exec.Command(zbarimg, "--quiet", "--raw", file).Output()
	if err != nil {
		t.Fatalf("zbarimg: %v", err)
	}
	return strings.TrimSpace(string(text))
}

func TestQRTicketsHaveTheAnatomyOfRealOnes(t *testing.T) {
	w := newWorld(t, stoppedClock)
	sound := 0
	for i := range 50 {
		ticket, address := w.qr(fmt.Sprint("scene ", i))
		raw, err := base64.StdEncoding.DecodeString(ticket)
		if err != nil || strings.Contains(ticket, "+") || !strings.HasPrefix(ticket, "gQ") || !strings.HasPrefix(address, "http://weixin.qq.com/q/02") {
			t.Fatalf("ticket %q of %q: %v", ticket, address, err)
		}
		at := 14 + len(address) + 1
		if bytes.Contains(raw, append([]byte(address), 0, 2, 4)) && binary.LittleEndian.Uint32(raw[at+2:]) == uint32(time.Date(2026, 9, 17, 10, 0, 0, 0, time.UTC).Unix()) &&
			binary.LittleEndian.Uint32(raw[at+8:]) == 300 {
			sound++
		}
	}
	if sound < 40 { // a + that had to go may have cost one a bit
		t.Errorf("%d of 50 tickets say what they should", sound)
	}
}

func TestScansThatFindNothing(t *testing.T) {
	w := newWorld(t)
	_, address := w.qr("x")
	for what, body := range map[string]string{
		"no code": `{"person":"bob"}`, "two codes": `{"person":"bob","url":"http://a.example/","ticket":"x"}`,
		"an unknown ticket": `{"person":"bob","ticket":"gQnone"}`, "no address": `{"person":"bob","url":"hello"}`,
		"another scheme": `{"person":"bob","url":"javascript:alert(1)"}`, "no person": `{"url":"` + address + `"}`,
		"an unknown consent": `{"person":"bob","url":"` + address + `","consent":"maybe"}`, "an unknown field": `{"person":"bob","uri":"x"}`,
	} {
		if a := w.do("POST", "/_simulator/scan", body, nil); a.status != http.StatusBadRequest || a.json(t)["error"] == nil {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
	}
	if report := w.scan(map[string]any{"person": "bob", "url": "https://www.example.com/a?b#c"}); report.Kind != "link" || report.Open != "https://www.example.com/a?b#c" {
		t.Errorf("a link: %+v", report)
	}
	if a := w.do("POST", "/_simulator/scan", `{"person":"bob","url":"`+address+`"}`, map[string]string{"Sec-Fetch-Site": "cross-site"}); a.status != http.StatusForbidden {
		t.Errorf("from another site's page: %d", a.status)
	}
}
