package simulator

import (
	"net/url"
	"strings"
	"testing"
)

// TestWeComKnownAnswers are the vectors of wecom-protocol §9.6: rows 1 and 2 are Tencent's own sample, the others were
// computed apart from this program.
func TestWeComKnownAnswers(t *testing.T) {
	const (
		token, corpID = "QDG6eK", "wx5823bf96d3bd56c7"
		ownRandom     = "0123456789abcdef"
	)
	key, err := parseAESKey("jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct {
		name, at, nonce, signature, random, message, sealed string
	}{
		{"1 verification", "1409659589", "263014780", "5c45ff5e21c57e6ad56bac8758b79b1d9ac89fd3",
			"c41b64491c2468d0", "1616140317555161061",
			"P9nAzCzyDtyTWESHep1vC5X9xho/qYX3Zpb4yKa9SKld1DsH3Iyt3tP3zNdtp+4RPcs8TgAE7OaBO+FZXvnaqQ=="},
		{"2 message", "1409659813", "1372623149", "477715d11cdb4164915debcba66cb864d751f3e6",
			"0960688932c47ef1", "<xml><ToUserName><![CDATA[wx5823bf96d3bd56c7]]></ToUserName>\n<FromUserName><![CDATA[mycreate]]></FromUserName>\n<CreateTime>1409659813</CreateTime>\n<MsgType><![CDATA[text]]></MsgType>\n<Content><![CDATA[hello]]></Content>\n<MsgId>4561255354251345929</MsgId>\n<AgentID>218</AgentID>\n</xml>",
			"RypEvHKD8QQKFhvQ6QleEB4J58tiPdvo+rtK1I9qca6aM/wvqnLSV5zEPeusUiX5L5X/0lWfrf0QADHHhGd3QczcdCUpj911L3vg3W/sYYvuJTs3TUUkSUXxaccAS0qhxchrRYt66wiSpGLYL42aM6A8dTT+6k4aSknmPj48kzJs8qLjvd4Xgpue06DOdnLxAUHzM6+kDZ+HMZfJYuR+LtwGc2hgf5gsijff0ekUNXZiqATP7PF5mZxZ3Izoun1s4zG4LUMnvw2r+KqCKIw+3IQH03v+BCA9nMELNqbSf6tiWSrXJB3LAVGUcallcrw8V2t9EL4EhzJWrQUax5wLVMNS0+rUPA3k22Ncx4XXZS9o0MBH27Bo6BpNelZpS+/uh9KsNlY6bHCmJU9p8g7m3fVKn28H3KDYA5Pl/T8Z1ptDAVe0lXdQ2YoyyH2uyPIGHBZZIs2pDBS8R07+qN+E7Q=="},
		{"3 verification", "1700000000", "1597212914", "43c2dcd0ba6733cdd0c1fb9774414ddad842fc8b",
			ownRandom, "1616140317555161061",
			"sKqRbbiSUnDhFHOvPjtUMWzf2R8PrpMiTTPaicBgqZlYW/WsF6SiFd2z9CriX2YpWYzF1yrNNQ0SomM3ovdnfA=="},
		{"4 a full block of padding", "1700000000", "1597212914", "7bb11eaf539f625f148ba316b141dbe3cea160b3",
			ownRandom, "abcdefghijklmnopqrstuvwxyz",
			"sKqRbbiSUnDhFHOvPjtUMZGyoR1r/GzKAbbgquGlaOgIlt+xQAi/JKk90aBApUWQUg5O+k5ZufIRKoqgtkAVwJKF1H3y/sfk7izzwSIp1tYTy01NHOGT9sTJ2jdv5sCT"},
		{"6 reply", "1409659813", "1372623149", "68f5dc43743f9cc82ad8ea2a52b524c675af7803",
			ownRandom, "<xml><ToUserName><![CDATA[mycreate]]></ToUserName><FromUserName><![CDATA[wx5823bf96d3bd56c7]]></FromUserName><CreateTime>1348831860</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[this is a test]]></Content></xml>",
			"sKqRbbiSUnDhFHOvPjtUMUNeky1yBjV3tIYfilQwj5fN/Js8KUsEWgVXPlHti2RHT6dIU70aNopY/r2YT/zocnNvNMINRv0id5aSeETI1s02SAEnZMIWt6fVqyK7irt5+LzsEgzU2+PBfYup8ovuaCu+9taHYr8YVF6U9Up9iZ16WlEmu/k1FJF4bI/LICkN8lVX/Q33kLnZ0DWcKwZMCKslSAq62JMlRf5YNUk+bnuHVW/OYk8e92Pbspu05Vey6KyBtAXHdWns7Z5HM4ri+Dx/5SqvZu0AjtIIoicwqzeadA2JeFdbjpMgCRTSX6F2ADH/rio9XbaiCvgpmF1qyjxSH4zOz32BCgpC46a07fWlqpD/+PxtMiWcMwSlrD+t"},
		{"7 subscribe", "1700000000", "1597212914", "3bf52959e2f97575a4069ca33f0032884269df48",
			ownRandom, "<xml><ToUserName><![CDATA[wx5823bf96d3bd56c7]]></ToUserName><FromUserName><![CDATA[zhangsan]]></FromUserName><CreateTime>1700000000</CreateTime><MsgType><![CDATA[event]]></MsgType><Event><![CDATA[subscribe]]></Event><AgentID>1000002</AgentID></xml>",
			"sKqRbbiSUnDhFHOvPjtUMelUqJNhJe9DlW7lGU7c/Wrvahxj/58tCJCTGBCsCKSUPEofXuAPJ2e3kGFr/eISpOWCQP8kDoMZCKXGorhwGADl/RThHuozrl9E95zs5BHKdEG4zYyV+EJCtQL2s+W1REN25sgjeOfMdxgifhnSYgVzMWdctKvuZA8BLrCGpqu4LkSfPWRSdx/ePB3QaUfROSbjHmi4z6JpE33y512NFKqZN/YDGxZxkGAdc5imysiCJW5Yay6kQSQiFdDsob/hKTv/Jo7zVaFPShqZbIavqkyCyt2+ca6J5TsxLLBn+uIQW5ZgTQzuePdaYQZjqCGaSykYC+1UT9QfgX38BiyATI4xxl1eQP4F0Q5+PDL3QY5z"},
	} {
		if got := signed(token, v.at, v.nonce, v.sealed); got != v.signature {
			t.Errorf("%s: signature %s", v.name, got)
		}
		if got := key.encrypt([]byte(v.random), []byte(v.message), corpID); got != v.sealed {
			t.Errorf("%s: encrypted to %s", v.name, got)
		}
		if got, err := key.decrypt(v.sealed, corpID); err != nil || string(got) != v.message {
			t.Errorf("%s: decrypted to %q, %v", v.name, got, err)
		}
	}
	const forAnother = "sKqRbbiSUnDhFHOvPjtUMWzf2R8PrpMiTTPaicBgqZnwFQH9BDuIuX9ZyouzIBc7WZYOn40Ye7RpBK+sUt6liw==" // row 5
	if signed(token, "1700000000", "1597212914", forAnother) != "8b853af0eb1086f2966cfcda799e437490d44604" {
		t.Error("5: signature")
	}
	if got := key.encrypt([]byte(ownRandom), []byte("1616140317555161061"), "wwffffffffffffffff"); got != forAnother {
		t.Errorf("5: encrypted to %s", got)
	}
	if _, err := key.decrypt(forAnother, corpID); err == nil || !strings.Contains(err.Error(), "another appid") {
		t.Errorf("5: %v", err)
	}
}

// TestWeComSignaturesOfPages are the known answers of §8; the first is Tencent's own example.
func TestWeComSignaturesOfPages(t *testing.T) {
	const ticket = "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg"
	for page, want := range map[string]string{
		"http://mp.weixin.qq.com?params=value":                    "0f9de62fce790f9a083d5c99e95740ceb90c27ed",
		"https://app.example.com/login/cb?code=abc%2B1&state=xyz": "7515a40d50c79cb9302c11ef0bbb6aeab5930338",
		"https://app.example.com/":                                "4101ac69c01406bda7df375b773ddbc1866268e6",
	} {
		if got := jsSignature(ticket, "Wm3WZYTPz0wzccnW", "1414587457", page); got != want {
			t.Errorf("%s: %s", page, got)
		}
	}
}

// FuzzWeComLinks: whatever stands in a login link, a code goes to the host of redirect_uri or nowhere.
func FuzzWeComLinks(f *testing.F) {
	s, err := New(Config{Apps: DevApps("127.0.0.1:9")})
	if err != nil {
		f.Fatal(err)
	}
	corpID := s.sortedCorps()[0].id
	f.Add("appid=" + corpID + "&redirect_uri=http%3A%2F%2F127.0.0.1%3A9%2Fcb&response_type=code&scope=snsapi_base&state=s&agentid=1000002")
	f.Add("login_type=CorpApp&appid=" + corpID + "&agentid=1000002&redirect_uri=http%3A%2F%2F127.0.0.1%3A9%2F%23%2Flogin")
	f.Fuzz(func(t *testing.T, query string) {
		for _, path := range []string{pathAuthorize, pathWebLogin, pathOldWebLogin} {
			l, fault := s.parseWeComLink(path, query)
			if fault != nil {
				continue
			}
			back, err := url.Parse(s.back(l, "code"))
			if err != nil || back.Host != l.redirect.Host || back.Query().Get("code") == "" {
				t.Errorf("%s?%s goes back to %v: %v", path, query, back, err)
			}
		}
	})
}
