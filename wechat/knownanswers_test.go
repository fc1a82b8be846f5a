package wechat_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"wxbridge/wechat"
)

// The known answers of wechat-protocol §5.3 and §14.2.
const (
	kitToken = "pamtest"
	kitKey   = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
	kitApp   = "wxb11529c136998cb6"
	kitTime  = "1409304348"
	kitNonce = "xxxxxx"
	kitEvent = "<xml><ToUserName><![CDATA[gh_7f083739789a]]></ToUserName><FromUserName><![CDATA[oia2TjjewbmiOUlr6X-1crbLOvLw]]></FromUserName>" +
		"<CreateTime>1409304348</CreateTime><MsgType><![CDATA[event]]></MsgType><Event><![CDATA[subscribe]]></Event><EventKey><![CDATA[]]></EventKey></xml>"

	officialToken   = "AAAAA"
	officialApp     = "wxba5fad812f8e6fb9"
	officialEvent   = `{"ToUserName":"gh_97417a04a28d","FromUserName":"o9AgO5Kd5ggOC-bXrbNODIiE3bGY","CreateTime":1714112445,"MsgType":"event","Event":"debug_demo","debug_str":"hello world"}`
	officialEncrypt = "+qdx1OKCy+5JPCBFWw70tm0fJGb2Jmeia4FCB7kao+/Q5c/ohsOzQHi8khUOb05JCpj0JB4RvQMkUyus8TPxLKJGQqcvZqzDpVzazhZv6JsXUnnR8XGT740XgXZUXQ7vJVnAG+tE8NUd4yFyjPy7GgiaviNrlCTj+l5kdfMuFUPpRSrfMZuMcp3Fn2Pede2IuQrKEYwKSqFIZoNqJ4M8EajAsjLY2km32IIjdf8YL/P50F7mStwntrA2cPDrM1kb6mOcfBgRtWygb3VIYnSeOBrebufAlr7F9mFUPAJGj04="
	officialReply   = "ELGduP2YcVatjqIS+eZbp80MNLoAUWvzzyJxgGzxZO/5sAvd070Bs6qrLARC9nVHm48Y4hyRbtzve1L32tmxSQ=="

	workToken = "123456"
	workKey   = "kWxPEV2UEDyxWpmPdKC3F4dgPDmOvfKX1HGnEUDS1aR" // its last character has bits too many
	workID    = "wx49f0ab532d5d035a"
)

// officialKey is 43 times A.
func officialKey() wechat.Secret { return wechat.Secret(strings.Repeat("A", 43)) }

func TestKnownAnswers_MessageCipher(t *testing.T) {
	tests := []struct {
		name                string
		key                 wechat.Secret
		receiver, random    string
		message, ciphertext string
	}{
		{"a message of 19 bytes, padding 7", kitKey, kitApp, "aaaabbbbccccdddd", "我是中文abcd123",
			"jn1L23DB+6ELqJ+6bruv21Y6MD7KeIfP82D6gU39rmkgczbWwt5+3bnyg5K55bgVtVzd832WzZGMhkP72vVOfg=="},
		{"padding 21", kitKey, kitApp, "aaaabbbbccccdddd", "hello",
			"jn1L23DB+6ELqJ+6bruv25lSmEaVO4ORgC1nIVwu5AMEhwzSY4b+aQwtNQrIW7mZYhRkCl7KrITrHfTvdcKtuA=="},
		{"a whole event, padding 10", kitKey, kitApp, "aaaabbbbccccdddd", kitEvent,
			"jn1L23DB+6ELqJ+6bruv27f6bJLdOO8Vu+tLTnsEt+BiE7YjyucHVl/2NZjShtalfYC0c5x3qHZiCnWtXdElnQnbcXfdM0nra+7/Ma0Z9UVHIdYyKIjoMdFnW3DkWoVdk9xDVRK1S2/kY7VwX53UvcKvo2iM1vZnpIjr37M6fzGJs+MVTDXzilkIxZHOutSXtpXp/YA4MqT7c3q7Ba4ZpZFZo31aVuhmSvS8mKU69Xw1zeV8T8yonfgo1lKaCAlfRXv6V0jeNyiOxRMKfcK7mB2NqQZ1WA88z7fk8KwUy6gQk8HY7X5POnLYLbLGgjWxSDCUayKkD9EnxjjQec2ArmHIfmVEV3NQvWfypoRF7shTbb3C+/tmS8TES6nRr/1Pl7Q/03lIkoSVQo7ihoujqQ0uaagXxNl03GaD8zZRRP4="},
		{"the official sample, padding 19", officialKey(), officialApp, "a8eedb185eb2fecf", officialEvent, officialEncrypt},
		{"the official reply, padding 1", officialKey(), officialApp, "707722b803182950", `{"demo_resp":"good luck"}`, officialReply},
		{"a key whose last character has bits too many", workKey, workID, "2304fc2fe146f1f8", "5927782489442352469",
			"4ByGGj+sVCYcvGeQYhaKIk1o0pQRNbRjxybjTGblXrBaXlTXeOo1+bXFXDQQb1o6co6Yh9Bv41n7hOchLF6p+Q=="},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newMessageCipher(t, tt.key, tt.receiver)
			got, err := c.Open(tt.ciphertext)
			if err != nil || string(got) != tt.message {
				t.Errorf("opened %q, %v", got, err)
			}
			sealed, err := c.Seal([]byte(tt.message), [16]byte([]byte(tt.random)))
			if err != nil || sealed != tt.ciphertext {
				t.Errorf("sealed %s, %v", sealed, err)
			}
		})
	}
}

func TestKnownAnswers_WorkMessage(t *testing.T) {
	const ciphertext = "RgqEoJj5A4EMYlLvWO1F86ioRjZfaex/gePD0gOXTxpsq5Yj4GNglrBb8I2BAJVODGajiFnXBu7mCPatfjsu6IHCrsTyeDXzF6Bv283dGymzxh6ydJRvZsryDyZbLTE7rhnus50qGPMfp2wASFlzEgMW9z1ef/RD8XzaFYgm7iTdaXpXaG4+BiYyolBug/gYNx410cvkKR2/nPwBiT+P4hIiOAQqGp/TywZBtDh1yCF2KOd0gpiMZ5jSw3e29mTvmUHzkVQiMS6td7vXUaWOMZnYZlF3So2SjHnwh4jYFxdgpkHHqIrH/54SNdshoQgWYEvccTKe7FS709/5t6NMxuGhcUGAPOQipvWTT4dShyqio7mlsl5noTrb++x6En749zCpQVhDpbV6GDnTbcX2e8K9QaNWHp91eBdCRxthuL0="
	if got := wechat.MessageSignature(workToken, "1411525903", "461056294", ciphertext); got != "74d92dfeb87ba7c714f89d98870ae5eb62dff26d" {
		t.Errorf("msg_signature %s", got)
	}
	plain, err := newMessageCipher(t, workKey, workID).Open(ciphertext)
	for _, part := range []string{"messense", "test", "4363689963896700987"} {
		if err != nil || !strings.Contains(string(plain), part) {
			t.Errorf("opened %q, %v", plain, err)
		}
	}
}

func TestKnownAnswers_Signatures(t *testing.T) {
	const ka1 = "jn1L23DB+6ELqJ+6bruv21Y6MD7KeIfP82D6gU39rmkgczbWwt5+3bnyg5K55bgVtVzd832WzZGMhkP72vVOfg=="
	const hello = "jn1L23DB+6ELqJ+6bruv25lSmEaVO4ORgC1nIVwu5AMEhwzSY4b+aQwtNQrIW7mZYhRkCl7KrITrHfTvdcKtuA=="
	tests := []struct {
		token wechat.Secret
		parts []string
		want  string
	}{
		{kitToken, []string{kitTime, kitNonce}, "76480565cbe296026c53aaacd1ad523a1ddba24f"},
		{kitToken, []string{kitTime, kitNonce, ka1}, "82c962d39941aa48552f90ef55aa323dc620cc10"},
		{kitToken, []string{kitTime, kitNonce, hello}, "7ad47e1a25930757be4d6c12920715a1b24ad2df"},
		{workToken, []string{"1411443780", "437374425", "4ByGGj+sVCYcvGeQYhaKIk1o0pQRNbRjxybjTGblXrBaXlTXeOo1+bXFXDQQb1o6co6Yh9Bv41n7hOchLF6p+Q=="},
			"dd6b9c95b495b3f7e2901bfbc76c664930ffdb96"},
		{officialToken, []string{"1714036504", "1514711492"}, "f464b24fc39322e44b38aa78f5edd27bd1441696"},
		{officialToken, []string{"1714037059", "486452656"}, "899cf89e464efb63f54ddac96b0a0a235f53aa78"},
		{officialToken, []string{"1714112445", "415670741"}, "6c5c811b55cc85e0e1b54100749188c20beb3f5d"},
		{officialToken, []string{"1714112445", "415670741", officialEncrypt}, "046e02f8204d34f8ba5fa3b1db94908f3df2e9b3"},
		{officialToken, []string{"1713424427", "415670741", officialReply}, "1b9339964ed2e271e7c7b6ff2b0ef902fc94dea1"},
	}
	for _, tt := range tests {
		if got := wechat.MessageSignature(tt.token, tt.parts...); got != tt.want {
			t.Errorf("signature over %q is %s, want %s", tt.parts, got, tt.want)
		}
	}
}

// The same answers through the door that a server uses.
func TestKnownAnswers_Callback(t *testing.T) {
	t.Run("the official GET", func(t *testing.T) {
		for _, key := range []wechat.Secret{"", officialKey()} {
			c := newCallback(t, wechat.CallbackConfig{AppID: officialApp, Token: officialToken, AESKey: key, Now: at(1714036504)})
			echo, err := c.Verify(query("signature", "f464b24fc39322e44b38aa78f5edd27bd1441696", "timestamp", "1714036504",
				"nonce", "1514711492", "echostr", "4375120948345356249"))
			if err != nil || echo != "4375120948345356249" {
				t.Errorf("got %q, %v", echo, err)
			}
		}
	})
	t.Run("the official plain POST", func(t *testing.T) {
		c := newCallback(t, wechat.CallbackConfig{AppID: officialApp, Token: officialToken, Now: at(1714037059)})
		m, err := c.Open(query("signature", "899cf89e464efb63f54ddac96b0a0a235f53aa78", "timestamp", "1714037059", "nonce", "486452656"),
			[]byte(officialEvent))
		if err != nil || m.Event != "debug_demo" || m.Encrypted {
			t.Errorf("got %+v, %v", m, err)
		}
	})
	t.Run("the official secure POST and its reply", func(t *testing.T) {
		c := newCallback(t, wechat.CallbackConfig{AppID: officialApp, Token: officialToken, AESKey: officialKey(), Now: at(1714112445),
			Random: func() [16]byte { return [16]byte([]byte("707722b803182950")) }})
		q := query("signature", "6c5c811b55cc85e0e1b54100749188c20beb3f5d", "timestamp", "1714112445", "nonce", "415670741",
			"openid", "o9AgO5Kd5ggOC-bXrbNODIiE3bGY", "encrypt_type", "aes", "msg_signature", "046e02f8204d34f8ba5fa3b1db94908f3df2e9b3")
		for _, body := range []string{
			`{"ToUserName":"gh_97417a04a28d","Encrypt":"` + officialEncrypt + `"}`,
			`<xml><ToUserName><![CDATA[gh_97417a04a28d]]></ToUserName><Encrypt><![CDATA[` + officialEncrypt + `]]></Encrypt></xml>`,
		} {
			m, err := c.Open(q, []byte(body))
			if err != nil {
				t.Fatal(err)
			}
			if string(m.Raw) != officialEvent || !m.Encrypted || m.Event != "debug_demo" || m.From != "o9AgO5Kd5ggOC-bXrbNODIiE3bGY" ||
				m.Fields["debug_str"] != "hello world" || m.CreatedAt.Unix() != 1714112445 {
				t.Errorf("got %+v", m)
			}
		}
		m, err := c.Open(q, []byte(`{"Encrypt":"`+officialEncrypt+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		later := newCallback(t, wechat.CallbackConfig{AppID: officialApp, Token: officialToken, AESKey: officialKey(), Now: at(1713424427),
			Random: func() [16]byte { return [16]byte([]byte("707722b803182950")) }})
		got, err := later.Seal(m, []byte(`{"demo_resp":"good luck"}`))
		want := `{"Encrypt":"` + officialReply + `","MsgSignature":"1b9339964ed2e271e7c7b6ff2b0ef902fc94dea1","TimeStamp":1713424427,"Nonce":"415670741"}`
		if err != nil || string(got) != want {
			t.Errorf("got %s, %v\nwant %s", got, err, want)
		}
	})
	t.Run("an event in XML", func(t *testing.T) {
		c := newCallback(t, wechat.CallbackConfig{AppID: kitApp, Token: kitToken, AESKey: kitKey, Now: at(1409304348)})
		ciphertext, err := newMessageCipher(t, kitKey, kitApp).Seal([]byte(kitEvent), [16]byte([]byte("aaaabbbbccccdddd")))
		if err != nil {
			t.Fatal(err)
		}
		m, err := c.Open(query("signature", "76480565cbe296026c53aaacd1ad523a1ddba24f", "timestamp", kitTime, "nonce", kitNonce,
			"encrypt_type", "aes", "msg_signature", "4ed188eea314a484cc91857eb126174e44e438a7"),
			[]byte("<xml><ToUserName>gh_7f083739789a</ToUserName><Encrypt>"+ciphertext+"</Encrypt></xml>"))
		if err != nil || m.Event != wechat.EventSubscribe || m.User() != "oia2TjjewbmiOUlr6X-1crbLOvLw" || m.Scene() != "" {
			t.Errorf("got %+v, %v", m, err)
		}
	})
}

func newMessageCipher(t testing.TB, key wechat.Secret, receiver string) *wechat.MessageCipher {
	t.Helper()
	c, err := wechat.NewMessageCipher(key, receiver)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newCallback(t testing.TB, config wechat.CallbackConfig) *wechat.Callback {
	t.Helper()
	c, err := wechat.NewCallback(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func at(seconds int64) func() time.Time {
	return func() time.Time { return time.Unix(seconds, 0) }
}

// query makes parameters of names and values in turn.
func query(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		q.Add(pairs[i], pairs[i+1])
	}
	return q
}
