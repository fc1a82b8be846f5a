package wechat_test

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"wxbridge/wechat"
)

// The official sample of wechat-protocol §8.5 and §14.3.
const (
	sampleKey  = "tiihtNczf5v6AKRyjwEUhQ=="
	sampleIV   = "r7BXXKkLb8qrSNn05n0qiA=="
	sampleTime = 1477314187
	sampleData = "CiyLU1Aw2KjvrjMdj8YKliAjtP4gsMZMQmRzooG2xrDcvSnxIMXFufNstNGTyaGS9uT5geRa0W4oTOb1WT7fJlAC+oNPdbB+3hVbJSRgv+4lGOETKUQz6OYStslQ142dNCuabNPGBzlooOmB231qMM85d2/fV6ChevvXvQP8Hkue1poOFtnEtpyxVLW1zAo6/1Xx1COxFvrc2d7UL/lmHInNlxuacJXwu0fjpXfz/YqYzBIBzD6WUfTIF9GRHpOn/Hz7saL8xz+W//FRAUid1OksQaQx4CMs8LOddcQhULW4ucetDf96JcR3g0gfRK4PC7E/r7Z6xNrXd2UIeorGj5Ef7b1pJAYB6Y5anaHqZ9J6nKEBvB4DnNLIVWSgARns/8wR2SiRS7MNACwTyrGvt9ts8p12PKFdlqYTopNHR1Vf7XjfhQlVsAJdNiKdYmYVoKlaRv85IfVunYzO0IKXsyl7JCUjCpoG20f0a04COwfneQAGGwd5oa+T8yO5hzuyDb/XcxxmK01EpqOyuxINew=="
	sampleJSON = `{"openId":"oGZUI0egBJY1zhBYw2KhdUfwVJJE","nickName":"Band","gender":1,"language":"zh_CN","city":"Guangzhou","province":"Guangdong","country":"CN","avatarUrl":"http://wx.qlogo.cn/mmopen/vi_32/aSKcBBPpibyKNicHNTMM0qJVh8Kjgiak2AHWr8MHM4WgMEm7GFhsf8OYrySdbvAMvTsw3mo8ibKicsnfN5pRjl1p8HQ/0","unionId":"ocMvos6NjeKLIBqg5Mr9QjxrP1FA","watermark":{"timestamp":1477314187,"appid":"wx4f4bc4dec97d474b"}}`

	otherKey = "HyVFkGl5F5OQWJZZaNzBBg=="
)

// programAt is the sample's mini program at a time by its clock.
func programAt(t testing.TB, unix int64) *wechat.MiniProgram {
	t.Helper()
	return newMiniProgram(t, &wechat.API{Now: func() time.Time { return time.Unix(unix, 0) }})
}

func TestKnownAnswers_UserData(t *testing.T) {
	got, err := programAt(t, sampleTime+30).OpenUserData(sampleKey, sampleData, sampleIV)
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Raw) != sampleJSON || got.OpenID != "oGZUI0egBJY1zhBYw2KhdUfwVJJE" || got.UnionID != "ocMvos6NjeKLIBqg5Mr9QjxrP1FA" ||
		got.Nickname != "Band" || !strings.HasPrefix(got.AvatarURL, "http://wx.qlogo.cn/") || got.At.Unix() != sampleTime {
		t.Errorf("got %+v", got)
	}
}

func TestKnownAnswers_RawData(t *testing.T) {
	const (
		raw       = `{"nickName":"Band","gender":1,"language":"zh_CN","city":"Guangzhou","province":"Guangdong","country":"CN","avatarUrl":"http://wx.qlogo.cn/mmopen/vi_32/1vZvI39NWFQ9XM4LtQpFrQJ1xlgZxx3w7bQxKARol6503Iuswjjn6nIGBiaycAjAtpujxyzYsrztuuICqIM5ibXQ/0"}`
		signature = "75e81ceda165f4ffa64f4068af58c64b8f54b88c"
	)
	tests := []struct {
		name, key, raw, signature string
		want                      error
	}{
		{"the sample", otherKey, raw, signature, nil},
		{"in capitals", otherKey, raw, strings.ToUpper(signature), nil},
		{"another key", sampleKey, raw, signature, wechat.ErrSession},
		{"no key", "", raw, signature, wechat.ErrSession},
		{"other data", otherKey, raw + " ", signature, wechat.ErrSession},
		{"no data", otherKey, "", signature, wechat.ErrSession},
		{"no signature", otherKey, raw, "", wechat.ErrUserData},
		{"half a signature", otherKey, raw, signature[:20], wechat.ErrUserData},
		{"a signature that is longer", otherKey, raw, signature + "00", wechat.ErrUserData},
		{"no hexadecimal digits", otherKey, raw, strings.Repeat("g", 40), wechat.ErrUserData},
		{"far too much data", otherKey, strings.Repeat("x", wechat.MaxUserData+1), signature, wechat.ErrUserData},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wantUserDataError(t, wechat.CheckRawData(wechat.Secret(tt.key), tt.raw, tt.signature), tt.want)
		})
	}
}

// userDataErrors are what can be wrong with user data; one at a time is.
func userDataErrors() []error {
	return []error{wechat.ErrSession, wechat.ErrUserData, wechat.ErrWatermark}
}

func wantUserDataError(t testing.TB, err, want error) {
	t.Helper()
	for _, sentinel := range userDataErrors() {
		if got := errors.Is(err, sentinel); got != (sentinel == want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	if want == nil && err != nil {
		t.Error(err)
	}
}

// encryptUserData is what WeChat does, with the padding as it is told.
func encryptUserData(t testing.TB, key string, plain []byte) string {
	t.Helper()
	secret, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	iv, err := base64.StdEncoding.DecodeString(sampleIV)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, len(plain))
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, plain)
	return base64.StdEncoding.EncodeToString(out)
}

// pkcs7 pads to whole blocks of 16.
func pkcs7(text string) []byte {
	n := 16 - len(text)%16
	return append([]byte(text), strings.Repeat(string(rune(n)), n)...)
}

func TestWX08_UserDataThatIsNotWhatItShouldBe(t *testing.T) {
	encrypt := func(plain string) string { return encryptUserData(t, sampleKey, pkcs7(plain)) }
	marked := func(mark string) string { return encrypt(`{"openId":"oA","watermark":` + mark + `}`) }
	flip := func(at int) string {
		raw, _ := base64.StdEncoding.DecodeString(sampleData)
		raw[at] ^= 1
		return base64.StdEncoding.EncodeToString(raw)
	}
	const good = `{"appid":"` + appID + `","timestamp":1477314187}`
	tests := []struct {
		name, key, data, iv string
		want                error
	}{
		{"the sample", sampleKey, sampleData, sampleIV, nil},
		{"the least there must be", sampleKey, marked(good), sampleIV, nil},
		{"the timestamp as text", sampleKey, marked(`{"appid":"` + appID + `","timestamp":"1477314187"}`), sampleIV, nil},
		{"another key", otherKey, sampleData, sampleIV, wechat.ErrSession},
		{"no key", "", sampleData, sampleIV, wechat.ErrSession},
		{"a key of 15 bytes", base64.StdEncoding.EncodeToString(make([]byte, 15)), sampleData, sampleIV, wechat.ErrSession},
		{"a key of 32 bytes", base64.StdEncoding.EncodeToString(make([]byte, 32)), sampleData, sampleIV, wechat.ErrSession},
		{"a key that is not base64", "tiihtNczf5v6AKRyjwEUh!==", sampleData, sampleIV, wechat.ErrSession},
		{"a flipped bit in the last block", sampleKey, flip(399), sampleIV, wechat.ErrSession},
		{"a flipped bit before the padding", sampleKey, flip(399 - 16), sampleIV, wechat.ErrSession},
		{"another iv", sampleKey, sampleData, base64.StdEncoding.EncodeToString(make([]byte, 16)), wechat.ErrSession},
		{"padding 0", sampleKey, encryptUserData(t, sampleKey, append([]byte(strings.Repeat("x", 15)), 0)), sampleIV, wechat.ErrSession},
		{"padding 17", sampleKey, encryptUserData(t, sampleKey, []byte(strings.Repeat("\x11", 32))), sampleIV, wechat.ErrSession},
		{"padding of two minds", sampleKey, encryptUserData(t, sampleKey, []byte("xxxxxxxxxxxxxx\x01\x02")), sampleIV, wechat.ErrSession},
		{"nothing but padding", sampleKey, encrypt(""), sampleIV, wechat.ErrSession},
		{"no JSON", sampleKey, encrypt("hello"), sampleIV, wechat.ErrSession},
		{"two objects", sampleKey, encrypt(`{}{}`), sampleIV, wechat.ErrSession},
		{"a list", sampleKey, encrypt(`[]`), sampleIV, wechat.ErrSession},
		{"null", sampleKey, encrypt(`null`), sampleIV, wechat.ErrSession},
		{"broken UTF-8", sampleKey, encrypt("{\"nickName\":\"\xff\",\"watermark\":" + good + "}"), sampleIV, wechat.ErrSession},
		{"no watermark", sampleKey, encrypt(`{"openId":"oA"}`), sampleIV, wechat.ErrUserData},
		{"a watermark that is null", sampleKey, marked(`null`), sampleIV, wechat.ErrUserData},
		{"no time", sampleKey, marked(`{"appid":"` + appID + `"}`), sampleIV, wechat.ErrUserData},
		{"time 0", sampleKey, marked(`{"appid":"` + appID + `","timestamp":0}`), sampleIV, wechat.ErrUserData},
		{"a time beyond all", sampleKey, marked(`{"appid":"` + appID + `","timestamp":9223372036854775807}`), sampleIV, wechat.ErrUserData},
		{"no appid", sampleKey, marked(`{"timestamp":1477314187}`), sampleIV, wechat.ErrUserData},
		{"an openid that is a number", sampleKey, encrypt(`{"openId":1,"watermark":` + good + `}`), sampleIV, wechat.ErrUserData},
		{"another app", sampleKey, marked(`{"appid":"wx4f4bc4dec97d474c","timestamp":1477314187}`), sampleIV, wechat.ErrWatermark},
		{"the appid in capitals", sampleKey, marked(`{"appid":"` + strings.ToUpper(appID) + `","timestamp":1477314187}`), sampleIV, wechat.ErrWatermark},
		{"no data", sampleKey, "", sampleIV, wechat.ErrUserData},
		{"no base64", sampleKey, "%%%", sampleIV, wechat.ErrUserData},
		{"a plus that became a space", sampleKey, strings.Replace(sampleData, "+", " ", 1), sampleIV, wechat.ErrUserData},
		{"half a block", sampleKey, base64.StdEncoding.EncodeToString(make([]byte, 24)), sampleIV, wechat.ErrUserData},
		{"no iv", sampleKey, sampleData, "", wechat.ErrUserData},
		{"an iv of 12 bytes", sampleKey, sampleData, base64.StdEncoding.EncodeToString(make([]byte, 12)), wechat.ErrUserData},
		{"an iv that is not base64", sampleKey, sampleData, "r7BXXKkLb8qrSNn05n0qi!==", wechat.ErrUserData},
		{"far too much", sampleKey, strings.Repeat("A", wechat.MaxUserData+4), sampleIV, wechat.ErrUserData},
	}
	m := programAt(t, sampleTime)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := m.OpenUserData(wechat.Secret(tt.key), tt.data, tt.iv)
			wantUserDataError(t, err, tt.want)
			if err != nil {
				if got.Raw != nil || got.OpenID != "" {
					t.Errorf("an error and %+v", got)
				}
				wantNone(t, err.Error(), sampleKey, otherKey, "oGZUI0egBJY1zhBYw2KhdUfwVJJE", "Band")
			}
		})
	}
}

func TestWX08_UserDataHasAnAge(t *testing.T) {
	for age, want := range map[time.Duration]error{
		0: nil, 9 * time.Minute: nil, wechat.UserDataAge: nil, wechat.UserDataAge + time.Second: wechat.ErrWatermark, 24 * time.Hour: wechat.ErrWatermark,
		-time.Minute: nil, -wechat.UserDataAge: nil, -wechat.UserDataAge - time.Second: wechat.ErrWatermark,
	} {
		_, err := programAt(t, sampleTime+int64(age/time.Second)).OpenUserData(sampleKey, sampleData, sampleIV)
		if t.Run(fmt.Sprint(age), func(t *testing.T) { wantUserDataError(t, err, want) }); t.Failed() {
			return
		}
	}
}

// FuzzUserData gives arbitrary plain texts, encrypted rightly, and arbitrary
// ciphertexts to the decrypter: user data that is one JSON object of this app, or
// exactly one error that quotes nothing.
func FuzzUserData(f *testing.F) {
	f.Add(pkcs7(sampleJSON), "", sampleIV)
	f.Add(pkcs7(`{"watermark":{"appid":"`+appID+`","timestamp":1477314187}}`), "", sampleIV)
	f.Add([]byte(strings.Repeat("\x10", 16)), "", sampleIV)
	f.Add([]byte(strings.Repeat("x", 16)), "", sampleIV)
	f.Add([]byte(nil), sampleData, sampleIV)
	f.Add([]byte(nil), "AA==", "AA==")
	m := programAt(f, sampleTime)
	f.Fuzz(func(t *testing.T, plain []byte, data, iv string) {
		if len(plain) >= 16 {
			data = encryptUserData(t, sampleKey, plain[:len(plain)/16*16])
		}
		got, err := m.OpenUserData(sampleKey, data, iv)
		if err == nil {
			if !json.Valid(got.Raw) || !strings.Contains(string(got.Raw), appID) || len(got.OpenID) > 128 {
				t.Errorf("got %+v", got)
			}
			return
		}
		fits := 0
		for _, sentinel := range userDataErrors() {
			if errors.Is(err, sentinel) {
				fits++
			}
		}
		if fits != 1 || len(err.Error()) > 200 {
			t.Errorf("%v means %d things, want one, in short", err, fits)
		}
		_ = wechat.CheckRawData(sampleKey, data, iv)
	})
}
