package simulator

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
)

// profileData is what a mini program is told of a person, in plain text and in rawData (documented, wechat-protocol §8.5).
type profileData struct {
	NickName  string `json:"nickName"`
	Gender    int    `json:"gender"`
	Language  string `json:"language"`
	City      string `json:"city"`
	Province  string `json:"province"`
	Country   string `json:"country"`
	AvatarURL string `json:"avatarUrl"`
}

// sealedProfile is what stands in encryptedData. Its names are in camel case, unlike those of the REST answers
// (documented).
type sealedProfile struct {
	OpenID string `json:"openId,omitempty"`
	profileData
	UnionID   string    `json:"unionId,omitempty"`
	Watermark watermark `json:"watermark"`
}

// The calls that give a profile.
const (
	callUserInfo    = "getUserInfo"
	callUserProfile = "getUserProfile"
)

// profileRequest is the body of POST /_simulator/encrypted-profile.
type profileRequest struct {
	holder
	API       string `json:"api"` // getUserInfo (default) or getUserProfile
	Watermark struct {
		AppID     string `json:"appid"`     // of another app
		Timestamp int64  `json:"timestamp"` // Unix seconds of another time
	} `json:"watermark"` // for tests of those who check it; left out: this app, now
}

// profileReply has the names of wx.getUserInfo.
type profileReply struct {
	UserInfo      profileData `json:"userInfo"`
	RawData       string      `json:"rawData"`
	Signature     string      `json:"signature"`
	EncryptedData string      `json:"encryptedData"`
	IV            string      `json:"iv"`
}

// handleEncryptedProfile answers what wx.getUserInfo or wx.getUserProfile gives. Without a session it is refused
// (documented: wx.login first).
func (s *Server) handleEncryptedProfile(w http.ResponseWriter, r *http.Request) {
	var body profileRequest
	err := readControl(w, r, &body)
	var app *App
	if err == nil {
		app, err = s.miniProgramOf(body.holder)
	}
	if err == nil && body.API != "" && body.API != callUserInfo && body.API != callUserProfile {
		err = fmt.Errorf("api %q: want %s or %s", body.API, callUserInfo, callUserProfile)
	}
	var text string
	var key []byte
	if err == nil {
		text, key, err = s.sealingKey(app, body.Person)
	}
	if err != nil {
		badControl(w, err)
		return
	}
	sealed := s.sealedProfile(r, app, body)
	raw := plainJSON(sealed.profileData)
	reply := profileReply{UserInfo: sealed.profileData, RawData: string(raw), Signature: rawDataSignature(raw, text)}
	reply.EncryptedData, reply.IV = encryptData(key, sealed)
	writeControl(w, http.StatusOK, reply)
}

// sealedProfile: since 2021 and 2022 name and picture are everybody's (documented); getUserInfo still has the real ids,
// getUserProfile has none (documented, wechat-protocol §8.6).
func (s *Server) sealedProfile(r *http.Request, app *App, body profileRequest) sealedProfile {
	sealed := sealedProfile{profileData: s.profileOf(r, body.Person), Watermark: s.watermark(app)}
	if body.API != callUserProfile {
		who := account{person: body.Person}
		sealed.OpenID, sealed.UnionID = s.meet(app, body.Person), who.unionID(app)
	}
	if body.Watermark.AppID != "" {
		sealed.Watermark.AppID = body.Watermark.AppID
	}
	if body.Watermark.Timestamp != 0 {
		sealed.Watermark.Timestamp = body.Watermark.Timestamp
	}
	return sealed
}

func (s *Server) profileOf(r *http.Request, name string) profileData {
	if s.switches.choice(switchProfileData) == "real" {
		p := lookup(name)
		return profileData{NickName: p.nickname, Language: "zh_CN", AvatarURL: s.avatarURL(r, p)}
	}
	return profileData{NickName: "微信用户", AvatarURL: s.publicURL(r) + greyAvatarPath}
}

// rawDataSignature is documented: SHA-1 of the text and the session_key's text.
func rawDataSignature(raw []byte, sessionKey string) string {
	sum := sha1.Sum(append(bytes.Clone(raw), sessionKey...))
	return hex.EncodeToString(sum[:])
}

// plainJSON is JSON as it stands in rawData and encryptedData: nothing escaped that need not be.
func plainJSON(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("simulator: encode %T: %v", v, err)) // own structs only: a programming fault
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

// encryptData is AES-128-CBC with PKCS#7 padding under a random iv (documented, wechat-protocol §8.5).
func encryptData(key []byte, v any) (encryptedData, iv string) {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(fmt.Sprintf("simulator: session_key: %v", err)) // own keys only
	}
	var start [aes.BlockSize]byte
	rand.Read(start[:])
	text := plainJSON(v)
	pad := aes.BlockSize - len(text)%aes.BlockSize
	text = append(text, bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, start[:]).CryptBlocks(text, text)
	return base64.StdEncoding.EncodeToString(text), base64.StdEncoding.EncodeToString(start[:])
}
