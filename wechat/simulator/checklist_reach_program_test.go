package simulator_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"wxbridge/wechat/simulator"
)

// login is wx.login and its exchange; it returns the session_key.
func (w *world) login(name string) string {
	w.t.Helper()
	key, ok := w.session(w.jsCode(w.mini.AppID, name)).json(w.t)["session_key"].(string)
	if !ok {
		w.t.Fatal("no session_key")
	}
	return key
}

func (w *world) phoneCode(name string) string {
	w.t.Helper()
	return w.control("POST", "phone-code", map[string]string{"person": name, "appid": w.mini.AppID}).json(w.t)["code"].(string)
}

func (w *world) phoneNumber(app simulator.App, body map[string]any) answer {
	w.t.Helper()
	text, _ := json.Marshal(body)
	return w.do("POST", "/wxa/business/getuserphonenumber?access_token="+w.appToken(app), string(text), nil)
}

// profile is what wx.getUserInfo gives.
type profile struct {
	UserInfo                              map[string]any
	RawData, Signature, EncryptedData, IV string
}

func (w *world) profile(body map[string]any) profile {
	w.t.Helper()
	all := map[string]any{"appid": w.mini.AppID}
	for name, value := range body {
		all[name] = value
	}
	var p profile
	if err := json.Unmarshal([]byte(w.control("POST", "encrypted-profile", all).body), &p); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// unseal decrypts as wechat-protocol §8.5 says, written for these tests.
func unseal(sessionKey, iv, data string) (map[string]any, error) {
	key, err1 := base64.StdEncoding.DecodeString(sessionKey)
	start, err2 := base64.StdEncoding.DecodeString(iv)
	text, err3 := base64.StdEncoding.DecodeString(data)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil || len(start) != 16 || len(text) == 0 || len(text)%16 != 0 {
		return nil, fmt.Errorf("sizes: %d %d %v", len(start), len(text), err)
	}
	cipher.NewCBCDecrypter(block, start).CryptBlocks(text, text)
	pad := int(text[len(text)-1])
	if pad < 1 || pad > 16 || strings.Trim(string(text[len(text)-pad:]), string(rune(pad))) != "" {
		return nil, errors.New("padding")
	}
	var v map[string]any
	return v, json.Unmarshal(text[:len(text)-pad], &v)
}

func TestKnownAnswersOfTheRawDataSignature(t *testing.T) {
	const raw = `{"nickName":"Band","gender":1,"language":"zh_CN","city":"Guangzhou","province":"Guangdong","country":"CN","avatarUrl":"http://wx.qlogo.cn/mmopen/vi_32/1vZvI39NWFQ9XM4LtQpFrQJ1xlgZxx3w7bQxKARol6503Iuswjjn6nIGBiaycAjAtpujxyzYsrztuuICqIM5ibXQ/0"}`
	if got := simulator.RawDataSignature([]byte(raw), "HyVFkGl5F5OQWJZZaNzBBg=="); got != "75e81ceda165f4ffa64f4068af58c64b8f54b88c" {
		t.Error(got)
	}
}

func TestKnownAnswerOfEncryptedData(t *testing.T) {
	// The official sample (wechat-protocol §14.3): what these tests decrypt with is right, and so is what they say of the
	// simulator's own data.
	v, err := unseal("tiihtNczf5v6AKRyjwEUhQ==", "r7BXXKkLb8qrSNn05n0qiA==", "CiyLU1Aw2KjvrjMdj8YKliAjtP4gsMZMQmRzooG2xrDcvSnxIMXFufNstNGTyaGS9uT5geRa0W4oTOb1WT7fJlAC+oNPdbB+3hVbJSRgv+4lGOETKUQz6OYStslQ142dNCuabNPGBzlooOmB231qMM85d2/fV6ChevvXvQP8Hkue1poOFtnEtpyxVLW1zAo6/1Xx1COxFvrc2d7UL/lmHInNlxuacJXwu0fjpXfz/YqYzBIBzD6WUfTIF9GRHpOn/Hz7saL8xz+W//FRAUid1OksQaQx4CMs8LOddcQhULW4ucetDf96JcR3g0gfRK4PC7E/r7Z6xNrXd2UIeorGj5Ef7b1pJAYB6Y5anaHqZ9J6nKEBvB4DnNLIVWSgARns/8wR2SiRS7MNACwTyrGvt9ts8p12PKFdlqYTopNHR1Vf7XjfhQlVsAJdNiKdYmYVoKlaRv85IfVunYzO0IKXsyl7JCUjCpoG20f0a04COwfneQAGGwd5oa+T8yO5hzuyDb/XcxxmK01EpqOyuxINew==")
	if err != nil || v["nickName"] != "Band" || v["unionId"] != "ocMvos6NjeKLIBqg5Mr9QjxrP1FA" {
		t.Errorf("%v %v", v, err)
	}
}

func TestChecklist21_TheLastLoginHasTheKey(t *testing.T) {
	w := newWorld(t)
	first, second := w.jsCode(w.mini.AppID, "bob"), w.jsCode(w.mini.AppID, "bob")
	newer := w.session(second).json(t)["session_key"].(string)
	older := w.session(first).json(t)["session_key"].(string) // exchanged last, and of no use
	p := w.profile(map[string]any{"person": "bob"})
	if _, err := unseal(newer, p.IV, p.EncryptedData); err != nil {
		t.Errorf("the key of the last wx.login: %v", err)
	}
	if v, err := unseal(older, p.IV, p.EncryptedData); err == nil {
		t.Errorf("the key of the wx.login before decrypts %v", v)
	}
	w.wantSession("the newer key", "bob", newer, 0)
	w.wantSession("the older key", "bob", older, 87009)
}

// sessionCall calls checksession or resetusersessionkey with the signature of a key.
func (w *world) sessionCall(path, openid, key string) answer {
	w.t.Helper()
	mac := hmac.New(sha256.New, []byte(key))
	return w.get("/wxa/" + path + "?" + url.Values{
		"access_token": {w.appToken(w.mini)}, "openid": {openid}, "signature": {hex.EncodeToString(mac.Sum(nil))}, "sig_method": {"hmac_sha256"},
	}.Encode())
}

func (w *world) wantSession(what, name, key string, errcode int) {
	w.t.Helper()
	openid, _ := w.account(name, w.mini.AppID)
	if got := fmt.Sprint(w.sessionCall("checksession", openid, key).json(w.t)["errcode"]); got != fmt.Sprint(errcode) {
		w.t.Errorf("%s: errcode %s, want %d", what, got, errcode)
	}
}

func TestChecklist21_CheckingAndResettingASession(t *testing.T) {
	mac := hmac.New(sha256.New, []byte("tiihtNczf5v6AKRyjwEUhQ=="))
	if got := hex.EncodeToString(mac.Sum(nil)); got != "7154f9f8b4b76b92f541cbf0e37d48840fa06e5e42da92a6f80168a1516a4735" {
		t.Fatalf("these tests sign %s", got)
	}
	w := newWorld(t, stoppedClock)
	openid, _ := w.account("bob", w.mini.AppID)
	valid := func() any {
		return w.control("POST", "session", map[string]string{"person": "bob", "appid": w.mini.AppID}).json(t)["valid"]
	}
	if valid() != false {
		t.Error("a session before wx.login")
	}
	key := w.login("bob")
	if valid() != true || w.sessionCall("checksession", openid, key).body != `{"errcode":0,"errmsg":"ok"}` {
		t.Error("no session after wx.login")
	}
	if text := w.sessionCall("checksession", openid, "x").errcode(t, 87009); !regexp.MustCompile(`^invalid signature hint: \[[\w-]{16}\] rid: [0-9a-f]{8}-`).MatchString(text) {
		t.Errorf("errmsg %q", text)
	}
	reset := w.sessionCall("resetusersessionkey", openid, key).json(t)
	fresh := fmt.Sprint(reset["session_key"])
	if fmt.Sprint(reset["errcode"]) != "0" || reset["openid"] != openid || len(fresh) != 24 || fresh == key {
		t.Fatalf("reset: %v", reset)
	}
	w.wantSession("the old key", "bob", key, 87009)
	w.wantSession("the new key", "bob", fresh, 0)
	p := w.profile(map[string]any{"person": "bob"})
	if _, err := unseal(fresh, p.IV, p.EncryptedData); err != nil {
		t.Errorf("the phone does not use the new key: %v", err)
	}
	t.Run("the new key inherits the expiry", func(t *testing.T) {
		w.advance("719h")
		again := fmt.Sprint(w.sessionCall("resetusersessionkey", openid, fresh).json(t)["session_key"])
		w.advance("1h")
		w.wantSession("after 30 days", "bob", again, 87009)
		if valid() != false {
			t.Error("the session goes on")
		}
	})
	t.Run("resets of one user are limited", func(t *testing.T) {
		key := w.login("bob")
		for range 10 {
			key = fmt.Sprint(w.sessionCall("resetusersessionkey", openid, key).json(t)["session_key"])
		}
		w.sessionCall("resetusersessionkey", openid, key).errcode(t, 45011)
		w.wantSession("the key that stayed", "bob", key, 0)
		w.advance("1m")
		w.sessionCall("resetusersessionkey", openid, key).json(t)
	})
	t.Run("the API's doors", func(t *testing.T) {
		w.get("/wxa/checksession").errcode(t, 41001)
		w.get("/wxa/checksession?access_token="+w.appToken(w.official)).errcode(t, 48001)
		w.get("/wxa/checksession?access_token="+w.appToken(w.mini)).errcode(t, 41009)
		w.sessionCall("checksession", "onobody", "x").errcode(t, 40003)
		w.get("/wxa/nothing").errcode(t, 40066)
	})
}

func TestChecklist21_ThePhoneCodeIsSeparateFromTheLoginCode(t *testing.T) {
	w := newWorld(t, stoppedClock)
	code := w.phoneCode("bob")
	if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(code) {
		t.Errorf("code %q", code)
	}
	a := w.phoneNumber(w.mini, map[string]any{"code": code})
	var reply struct {
		ErrCode   int
		ErrMsg    string
		PhoneInfo struct {
			PhoneNumber, PurePhoneNumber, CountryCode string
			Watermark                                 struct {
				Timestamp int64
				AppID     string
			}
		} `json:"phone_info"`
	}
	if err := json.Unmarshal([]byte(a.body), &reply); err != nil || reply.ErrMsg != "ok" {
		t.Fatalf("%v %s", err, a.body)
	}
	info := reply.PhoneInfo
	if !regexp.MustCompile(`^13[0-9]{9}$`).MatchString(info.PhoneNumber) || info.PhoneNumber != info.PurePhoneNumber || info.CountryCode != "86" ||
		info.Watermark.AppID != w.mini.AppID || info.Watermark.Timestamp != 1789639200 {
		t.Errorf("%+v", info)
	}
	text := w.phoneNumber(w.mini, map[string]any{"code": code}).errcode(t, 40029)
	if !regexp.MustCompile(`^invalid code hint: \[[\w-]{16}\] rid: [0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}$`).MatchString(text) {
		t.Errorf("errmsg %q", text)
	}
	w.phoneNumber(w.mini, map[string]any{"code": w.jsCode(w.mini.AppID, "bob")}).errcode(t, 40029)
	w.phoneNumber(w.mini, map[string]any{"code": ""}).errcode(t, 40029)
	w.session(w.phoneCode("bob")).errcode(t, 40029)

	t.Run("five minutes", func(t *testing.T) {
		late, inTime := w.phoneCode("bob"), w.phoneCode("bob")
		w.advance("4m59s")
		if got := w.phoneNumber(w.mini, map[string]any{"code": inTime}).json(t)["errmsg"]; got != "ok" {
			t.Error(got)
		}
		w.advance("1s")
		w.phoneNumber(w.mini, map[string]any{"code": late}).errcode(t, 40029)
	})
	t.Run("a token of another app does not spend it", func(t *testing.T) {
		code := w.phoneCode("bob")
		w.phoneNumber(w.official, map[string]any{"code": code}).errcode(t, 40013)
		bob, _ := w.account("bob", w.mini.AppID)
		alice, _ := w.account("alice", w.mini.AppID)
		w.phoneNumber(w.mini, map[string]any{"code": code, "openid": alice}).errcode(t, 40003)
		if got := w.phoneNumber(w.mini, map[string]any{"code": code, "openid": bob}).json(t)["errmsg"]; got != "ok" {
			t.Error(got)
		}
	})
	t.Run("countryCode by switch, and abroad", func(t *testing.T) {
		w.flip("phone-country-code", "number")
		if body := w.phoneNumber(w.mini, map[string]any{"code": w.phoneCode("bob")}).body; !strings.Contains(body, `"countryCode":86,`) {
			t.Error(body)
		}
		if body := w.phoneNumber(w.mini, map[string]any{"code": w.phoneCode("odd-abroad")}).body; !regexp.MustCompile(`"phoneNumber":"852(5[0-9]{7})","purePhoneNumber":"5[0-9]{7}","countryCode":852,`).MatchString(body) {
			t.Error(body)
		}
	})
	t.Run("two people have two numbers, one person one", func(t *testing.T) {
		number := func(name string) string {
			v := w.phoneNumber(w.mini, map[string]any{"code": w.phoneCode(name)}).json(t)["phone_info"].(map[string]any)
			return v["phoneNumber"].(string)
		}
		first, again := number("alice"), number("alice")
		if first == number("wei") || first != again {
			t.Error("numbers are mixed up")
		}
	})
	t.Run("the older form beside the code", func(t *testing.T) {
		key := w.login("bob")
		v := w.control("POST", "phone-code", map[string]string{"person": "bob", "appid": w.mini.AppID}).json(t)
		sealed, err := unseal(key, fmt.Sprint(v["iv"]), fmt.Sprint(v["encryptedData"]))
		if err != nil || sealed["watermark"].(map[string]any)["appid"] != w.mini.AppID || len(fmt.Sprint(sealed["purePhoneNumber"])) != 11 {
			t.Errorf("%v %v", sealed, err)
		}
	})
	for _, body := range []string{`{"person":"bob","appid":"` + w.official.AppID + `"}`, `{"person":"","appid":"` + w.mini.AppID + `"}`, `{"appid":"x"}`, `[]`} {
		if got := w.do("POST", "/_simulator/phone-code", body, nil).status; got != http.StatusBadRequest {
			t.Errorf("%s: %d", body, got)
		}
	}
}

func TestChecklist22_EncryptedDataIsMadeWithTheCurrentKey(t *testing.T) {
	w := newWorld(t, stoppedClock)
	if got := w.do("POST", "/_simulator/encrypted-profile", `{"person":"bob","appid":"`+w.mini.AppID+`"}`, nil); got.status != http.StatusBadRequest || !strings.Contains(got.body, "wx.login") {
		t.Errorf("without a session: %d %s", got.status, got.body)
	}
	previous, current := w.login("bob"), w.login("bob")
	openid, unionid := w.account("bob", w.mini.AppID)
	p := w.profile(map[string]any{"person": "bob"})
	v, err := unseal(current, p.IV, p.EncryptedData)
	if err != nil {
		t.Fatal(err)
	}
	mark := v["watermark"].(map[string]any)
	if v["openId"] != openid || v["unionId"] != unionid || mark["appid"] != w.mini.AppID || fmt.Sprint(mark["timestamp"]) != "1.7896392e+09" {
		t.Errorf("%v", v)
	}
	sum := sha1.Sum([]byte(p.RawData + current))
	if p.Signature != hex.EncodeToString(sum[:]) {
		t.Errorf("signature %s", p.Signature)
	}
	if _, err := unseal(previous, p.IV, p.EncryptedData); err == nil {
		t.Error("the previous key decrypts")
	}
	if again := w.profile(map[string]any{"person": "bob"}); again.IV == p.IV || again.EncryptedData == p.EncryptedData {
		t.Error("the same iv twice")
	}
	t.Run("or with the previous one, by switch", func(t *testing.T) {
		w.flip("encrypted-data-key", "previous")
		p := w.profile(map[string]any{"person": "bob"})
		if _, err := unseal(previous, p.IV, p.EncryptedData); err != nil {
			t.Error(err)
		}
		sum := sha1.Sum([]byte(p.RawData + previous))
		if p.Signature != hex.EncodeToString(sum[:]) {
			t.Error("the signature is of another key")
		}
		w.flip("encrypted-data-key", "current")
	})
	t.Run("a watermark of another app and time, on demand", func(t *testing.T) {
		p := w.profile(map[string]any{"person": "bob", "watermark": map[string]any{"appid": "wxother", "timestamp": 1}})
		v, err := unseal(current, p.IV, p.EncryptedData)
		if mark := v["watermark"].(map[string]any); err != nil || mark["appid"] != "wxother" || mark["timestamp"] != 1.0 {
			t.Errorf("%v %v", v, err)
		}
	})
}

func TestChecklist23_TheProfileIsAnonymous(t *testing.T) {
	w := newWorld(t)
	key := w.login("alice")
	for _, api := range []string{"getUserInfo", "getUserProfile"} {
		p := w.profile(map[string]any{"person": "alice", "api": api})
		v, err := unseal(key, p.IV, p.EncryptedData)
		if err != nil || v["nickName"] != "微信用户" || p.UserInfo["nickName"] != "微信用户" || v["gender"] != 0.0 || v["city"] != "" {
			t.Errorf("%s: %v %v", api, v, err)
		}
		if hasIDs := v["openId"] != nil || v["unionId"] != nil; hasIDs != (api == "getUserInfo") {
			t.Errorf("%s: ids %t", api, hasIDs)
		}
		grey := fmt.Sprint(v["avatarUrl"])
		if a := w.get(strings.TrimPrefix(grey, w.url)); a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), "image/") {
			t.Errorf("%s: picture %s: %d", api, grey, a.status)
		}
		var raw map[string]any
		if err := json.Unmarshal([]byte(p.RawData), &raw); err != nil || len(raw) != 7 || strings.Contains(p.RawData, `\/`) {
			t.Errorf("%s: rawData %s", api, p.RawData)
		}
	}
	w.flip("profile-data", "real")
	if p := w.profile(map[string]any{"person": "alice", "api": "getUserProfile"}); p.UserInfo["nickName"] != "爱丽丝" {
		t.Errorf("by switch: %v", p.UserInfo)
	}
	if got := w.do("POST", "/_simulator/encrypted-profile", `{"person":"alice","appid":"`+w.mini.AppID+`","api":"x"}`, nil).status; got != http.StatusBadRequest {
		t.Errorf("an unknown api: %d", got)
	}
}

func TestTextCheck(t *testing.T) {
	w := newWorld(t, stoppedClock)
	openid, _ := w.account("bob", w.mini.AppID)
	check := func(body map[string]any) answer {
		t.Helper()
		all := map[string]any{"version": 2, "openid": openid, "scene": 1, "content": "小明"}
		for name, value := range body {
			all[name] = value
		}
		text, _ := json.Marshal(all)
		return w.do("POST", "/wxa/msg_sec_check?access_token="+w.appToken(w.mini), string(text), nil)
	}
	check(nil).errcode(t, 61010) // not in the mini program so far
	w.login("bob")
	for content, want := range map[string]string{
		"小明": "pass 100", "很违规的名字": "risky 20006", "RISKY": "risky 20006", "疑似": "review 21000", strings.Repeat("字", 2500): "pass 100",
	} {
		v := check(map[string]any{"content": content}).json(t)
		result, _ := v["result"].(map[string]any)
		if got := fmt.Sprint(result["suggest"], " ", result["label"]); got != want || fmt.Sprint(v["errcode"]) != "0" || len(fmt.Sprint(v["trace_id"])) != 26 {
			t.Errorf("%.20s: %v", content, v)
		}
	}
	check(map[string]any{"nickname": "违规"}).json(t)
	for errcode, body := range map[int]map[string]any{
		40129: {"scene": 5}, 40003: {"openid": "onobody"}, 45002: {"content": strings.Repeat("字", 2501)}, 44002: {"content": ""}, 47001: {"content": 5},
	} {
		check(body).errcode(t, errcode)
	}
	w.flip("text-check", "v1")
	check(map[string]any{"content": "违规"}).errcode(t, 87014)
	w.advance("2h")
	check(nil).json(t)
	w.advance("1s")
	check(nil).errcode(t, 61010)
}
