package simulator

import (
	"bytes"
	"crypto/cipher"
	"encoding/base64"
	"strings"
	"testing"
)

// vector is a known answer of wechat-protocol §5.3 or §14.2.
type vector struct {
	name, token, key, appID string
	timestamp, nonce        string
	random, message, sealed string
	signature               string // over token, timestamp and nonce; "" where the source has none
	messageSignature        string
}

const subscribeMessage = `<xml><ToUserName><![CDATA[gh_7f083739789a]]></ToUserName><FromUserName><![CDATA[oia2TjjewbmiOUlr6X-1crbLOvLw]]></FromUserName><CreateTime>1409304348</CreateTime><MsgType><![CDATA[event]]></MsgType><Event><![CDATA[subscribe]]></Event><EventKey><![CDATA[]]></EventKey></xml>`

func vectors() []vector {
	wxJava := vector{
		token: "pamtest", key: "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", appID: "wxb11529c136998cb6",
		timestamp: "1409304348", nonce: "xxxxxx", random: "aaaabbbbccccdddd",
		signature: "76480565cbe296026c53aaacd1ad523a1ddba24f",
	}
	pad7, pad21, event := wxJava, wxJava, wxJava
	pad7.name, pad7.message, pad7.messageSignature = "pad 7", "我是中文abcd123", "82c962d39941aa48552f90ef55aa323dc620cc10"
	pad7.sealed = "jn1L23DB+6ELqJ+6bruv21Y6MD7KeIfP82D6gU39rmkgczbWwt5+3bnyg5K55bgVtVzd832WzZGMhkP72vVOfg=="
	pad21.name, pad21.message, pad21.messageSignature = "pad 21", "hello", "7ad47e1a25930757be4d6c12920715a1b24ad2df"
	pad21.sealed = "jn1L23DB+6ELqJ+6bruv25lSmEaVO4ORgC1nIVwu5AMEhwzSY4b+aQwtNQrIW7mZYhRkCl7KrITrHfTvdcKtuA=="
	event.name, event.message, event.messageSignature = "an event", subscribeMessage, "4ed188eea314a484cc91857eb126174e44e438a7"
	event.sealed = "jn1L23DB+6ELqJ+6bruv27f6bJLdOO8Vu+tLTnsEt+BiE7YjyucHVl/2NZjShtalfYC0c5x3qHZiCnWtXdElnQnbcXfdM0nra+7/Ma0Z9UVHIdYyKIjoMdFnW3DkWoVdk9xDVRK1S2/kY7VwX53UvcKvo2iM1vZnpIjr37M6fzGJs+MVTDXzilkIxZHOutSXtpXp/YA4MqT7c3q7Ba4ZpZFZo31aVuhmSvS8mKU69Xw1zeV8T8yonfgo1lKaCAlfRXv6V0jeNyiOxRMKfcK7mB2NqQZ1WA88z7fk8KwUy6gQk8HY7X5POnLYLbLGgjWxSDCUayKkD9EnxjjQec2ArmHIfmVEV3NQvWfypoRF7shTbb3C+/tmS8TES6nRr/1Pl7Q/03lIkoSVQo7ihoujqQ0uaagXxNl03GaD8zZRRP4="
	return append([]vector{pad7, pad21, event}, otherVectors()...)
}

func otherVectors() []vector {
	return []vector{
		{
			name: "a key with a dirty last character", token: "123456", key: "kWxPEV2UEDyxWpmPdKC3F4dgPDmOvfKX1HGnEUDS1aR", appID: "wx49f0ab532d5d035a",
			timestamp: "1411443780", nonce: "437374425", random: "2304fc2fe146f1f8", message: "5927782489442352469",
			sealed:           "4ByGGj+sVCYcvGeQYhaKIk1o0pQRNbRjxybjTGblXrBaXlTXeOo1+bXFXDQQb1o6co6Yh9Bv41n7hOchLF6p+Q==",
			messageSignature: "dd6b9c95b495b3f7e2901bfbc76c664930ffdb96",
		},
		{
			name: "official push, pad 19", token: "AAAAA", key: strings.Repeat("A", 43), appID: "wxba5fad812f8e6fb9",
			timestamp: "1714112445", nonce: "415670741", random: "a8eedb185eb2fecf",
			message:          `{"ToUserName":"gh_97417a04a28d","FromUserName":"o9AgO5Kd5ggOC-bXrbNODIiE3bGY","CreateTime":1714112445,"MsgType":"event","Event":"debug_demo","debug_str":"hello world"}`,
			sealed:           "+qdx1OKCy+5JPCBFWw70tm0fJGb2Jmeia4FCB7kao+/Q5c/ohsOzQHi8khUOb05JCpj0JB4RvQMkUyus8TPxLKJGQqcvZqzDpVzazhZv6JsXUnnR8XGT740XgXZUXQ7vJVnAG+tE8NUd4yFyjPy7GgiaviNrlCTj+l5kdfMuFUPpRSrfMZuMcp3Fn2Pede2IuQrKEYwKSqFIZoNqJ4M8EajAsjLY2km32IIjdf8YL/P50F7mStwntrA2cPDrM1kb6mOcfBgRtWygb3VIYnSeOBrebufAlr7F9mFUPAJGj04=",
			signature:        "6c5c811b55cc85e0e1b54100749188c20beb3f5d",
			messageSignature: "046e02f8204d34f8ba5fa3b1db94908f3df2e9b3",
		},
		{
			name: "official reply, pad 1", token: "AAAAA", key: strings.Repeat("A", 43), appID: "wxba5fad812f8e6fb9",
			timestamp: "1713424427", nonce: "415670741", random: "707722b803182950", message: `{"demo_resp":"good luck"}`,
			sealed:           "ELGduP2YcVatjqIS+eZbp80MNLoAUWvzzyJxgGzxZO/5sAvd070Bs6qrLARC9nVHm48Y4hyRbtzve1L32tmxSQ==",
			messageSignature: "1b9339964ed2e271e7c7b6ff2b0ef902fc94dea1",
		},
	}
}

// TestKnownAnswersInBothDirections runs every vector of wechat-protocol §14.2 through encryption, decryption and signing.
func TestKnownAnswersInBothDirections(t *testing.T) {
	for _, v := range vectors() {
		t.Run(v.name, func(t *testing.T) {
			key, err := parseAESKey(v.key)
			if err != nil {
				t.Fatal(err)
			}
			if got := key.encrypt([]byte(v.random), []byte(v.message), v.appID); got != v.sealed {
				t.Errorf("encrypt: %s", got)
			}
			if got, err := key.decrypt(v.sealed, v.appID); err != nil || string(got) != v.message {
				t.Errorf("decrypt: %q, %v", got, err)
			}
			if got := signed(v.token, v.timestamp, v.nonce, v.sealed); got != v.messageSignature {
				t.Errorf("msg_signature: %s", got)
			}
			if got := signed(v.token, v.timestamp, v.nonce); v.signature != "" && got != v.signature {
				t.Errorf("signature: %s", got)
			}
		})
	}
	t.Run("signatures without encryption", func(t *testing.T) {
		if got := signed("AAAAA", "1714036504", "1514711492"); got != "f464b24fc39322e44b38aa78f5edd27bd1441696" {
			t.Errorf("verification: %s", got)
		}
		if got := signed("AAAAA", "1714037059", "486452656"); got != "899cf89e464efb63f54ddac96b0a0a235f53aa78" {
			t.Errorf("plain push: %s", got)
		}
	})
	t.Run("a whole message of another implementation", func(t *testing.T) {
		key, err := parseAESKey("kWxPEV2UEDyxWpmPdKC3F4dgPDmOvfKX1HGnEUDS1aR")
		if err != nil {
			t.Fatal(err)
		}
		const sealed = "RgqEoJj5A4EMYlLvWO1F86ioRjZfaex/gePD0gOXTxpsq5Yj4GNglrBb8I2BAJVODGajiFnXBu7mCPatfjsu6IHCrsTyeDXzF6Bv283dGymzxh6ydJRvZsryDyZbLTE7rhnus50qGPMfp2wASFlzEgMW9z1ef/RD8XzaFYgm7iTdaXpXaG4+BiYyolBug/gYNx410cvkKR2/nPwBiT+P4hIiOAQqGp/TywZBtDh1yCF2KOd0gpiMZ5jSw3e29mTvmUHzkVQiMS6td7vXUaWOMZnYZlF3So2SjHnwh4jYFxdgpkHHqIrH/54SNdshoQgWYEvccTKe7FS709/5t6NMxuGhcUGAPOQipvWTT4dShyqio7mlsl5noTrb++x6En749zCpQVhDpbV6GDnTbcX2e8K9QaNWHp91eBdCRxthuL0="
		message, err := key.decrypt(sealed, "wx49f0ab532d5d035a")
		if err != nil {
			t.Fatal(err)
		}
		fields, err := readXML(message)
		if err != nil || fields["FromUserName"] != "messense" || fields["Content"] != "test" || fields["MsgId"] != "4363689963896700987" {
			t.Errorf("%v, %v", fields, err)
		}
		if got := signed("123456", "1411525903", "461056294", sealed); got != "74d92dfeb87ba7c714f89d98870ae5eb62dff26d" {
			t.Errorf("msg_signature: %s", got)
		}
	})
}

func TestDecryptRefusesWhatIsBroken(t *testing.T) {
	v := vectors()[0]
	key, err := parseAESKey(v.key)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := parseAESKey(strings.Repeat("A", 43))
	sealPlain := func(plain []byte) string { return sealRaw(key, plain) } // whole blocks, padding and all
	for name, c := range map[string]struct{ sealed, appID, want string }{
		"another appid":       {v.sealed, "wxb11529c136998cb7", "another appid"},
		"a longer appid":      {v.sealed, v.appID + "x", "another appid"},
		"not base64":          {"***", v.appID, "not base64"},
		"nothing":             {"", v.appID, "whole blocks"},
		"half a block":        {"AAAAAAAAAAAAAAAAAAAAAA==", v.appID, "whole blocks"},
		"truncated":           {v.sealed[:44], v.appID, ""},
		"another key":         {other.encrypt([]byte(v.random), []byte("x"), v.appID), v.appID, ""},
		"padding 0":           {sealPlain(make([]byte, 32)), v.appID, "padding"},
		"padding 33":          {sealPlain(bytes.Repeat([]byte{33}, 64)), v.appID, "padding"},
		"uneven padding":      {sealPlain(append(bytes.Repeat([]byte{1}, 30), 2, 3)), v.appID, "padding"},
		"too short":           {sealPlain(bytes.Repeat([]byte{32}, 32)), v.appID, "too short"},
		"a length beyond all": {sealPlain(append(append(bytes.Repeat([]byte{'r'}, 16), 0xff, 0xff, 0xff, 0xff), bytes.Repeat([]byte{12}, 12)...)), v.appID, "length"},
	} {
		if got, err := key.decrypt(c.sealed, c.appID); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// TestEveryPaddingFrom1To32 seals messages of every length modulo the block.
func TestEveryPaddingFrom1To32(t *testing.T) {
	key, err := parseAESKey(devAESKey())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[byte]bool{}
	for n := range 32 {
		message := strings.Repeat("m", n)
		sealed := key.encrypt(newCryptoRandom(), []byte(message), "wx1")
		if got, err := key.decrypt(sealed, "wx1"); err != nil || string(got) != message {
			t.Errorf("length %d: %q, %v", n, got, err)
		}
		plain := openRaw(t, key, sealed)
		seen[plain[len(plain)-1]] = true
	}
	for pad := byte(1); pad <= 32; pad++ {
		if !seen[pad] {
			t.Errorf("no message was padded with %d", pad)
		}
	}
}

func sealRaw(k callbackKey, plain []byte) string {
	sealed := bytes.Clone(plain)
	cipher.NewCBCEncrypter(k.cipher(), k[:16]).CryptBlocks(sealed, sealed)
	return base64.StdEncoding.EncodeToString(sealed)
}

func openRaw(t *testing.T, k callbackKey, sealed string) []byte {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		t.Fatal(err)
	}
	cipher.NewCBCDecrypter(k.cipher(), k[:16]).CryptBlocks(data, data)
	return data
}
