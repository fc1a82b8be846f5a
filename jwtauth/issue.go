package jwtauth

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	typAccess = "at+jwt" // RFC 9068 §2.1
	typID     = "JWT"
)

// MaxIDTokenBytes is the longest ID token an [Issuer] makes: with name and
// attributes it still fits a cookie of 4,000 bytes.
const MaxIDTokenBytes = 3600

// Claims are the claims of an access token (RFC 9068 §2.2 and the bridge's own).
// Times are whole seconds.
type Claims struct {
	Issuer    string // iss: the bridge's public URL
	Subject   string // sub: the fan's id
	Audience  string // aud
	ClientID  string // client_id
	ID        string // jti: unique for each token
	SessionID string // sid: made at login, kept through renewals

	IssuedAt  time.Time // iat
	ExpiresAt time.Time // exp
	AuthTime  time.Time // auth_time: the login itself, kept through renewals

	Provider string // provider: where the fan logged in, such as "official_account"
	AppID    string // appid
	OpenID   string // openid, unique inside (provider, appid) only
	UnionID  string // unionid, "" if unknown
	Role     string // role, "" if none

	Departments Departments // departments, "" if none: of WeCom members only
}

// IDClaims are the claims of an ID token: what a page shows, never a credential.
type IDClaims struct {
	Issuer, Subject, Audience     string // iss, sub, aud; the issuer fills iss and aud
	IssuedAt, ExpiresAt, AuthTime time.Time
	Nickname, Picture             string // as WeChat gave them: untrusted text
}

// IssuerConfig says what an [Issuer] puts into its tokens. All but CacheBytes and
// Now are required.
type IssuerConfig struct {
	Issuer   string        // iss
	Audience string        // aud of access tokens
	ClientID string        // client_id of access tokens, aud of ID tokens; never equal to Audience
	TTL      time.Duration // life of both kinds, at least a second

	// CacheBytes is how much memory [Issuer.ReadIDToken] may take for ID tokens
	// that were good, about 1 KiB each; 0 is none. See [Config.CacheBytes].
	CacheBytes int

	Now func() time.Time
}

// Issuer signs tokens. It is safe for concurrent use.
type Issuer struct {
	keys   *KeySet
	c      IssuerConfig
	memory *memory[IDClaims] // nil: remembers nothing
}

// NewIssuer checks the configuration. Equal audiences are refused: an ID token,
// which a page's script can read, must never pass as an access token.
func NewIssuer(keys *KeySet, c IssuerConfig) (*Issuer, error) {
	switch {
	case keys == nil:
		return nil, errors.New("jwtauth: issuer needs keys")
	case c.Issuer == "" || c.Audience == "" || c.ClientID == "":
		return nil, errors.New("jwtauth: issuer, audience and client id are required")
	case c.Audience == c.ClientID:
		return nil, errors.New("jwtauth: access tokens and ID tokens must have different audiences")
	case c.CacheBytes < 0:
		return nil, errors.New("jwtauth: size of the cache must not be negative")
	case c.TTL < time.Second:
		return nil, errors.New("jwtauth: token life must be at least a second")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	i := &Issuer{keys: keys, c: c}
	i.memory = newMemory(c.CacheBytes, keys, c.Now, i.unpackIDClaims, checkIDTimes)
	return i, nil
}

// AccessToken signs an access token and returns it with the claims it carries.
//
// The caller gives Subject, SessionID, AuthTime, Provider, AppID, OpenID, and
// UnionID, Role and Departments where known. The issuer sets iss, aud, client_id, exp and a
// fresh jti. iat is the later of now and c.IssuedAt, which may name a revocation
// cut up to a minute ahead (see [RevocationSet.SubjectCut]); so claims of an
// earlier token can be passed as they are to renew it.
func (i *Issuer) AccessToken(c Claims) (raw string, out Claims, err error) {
	if c.Subject == "" || c.SessionID == "" || c.Provider == "" || c.AppID == "" || c.OpenID == "" || c.AuthTime.IsZero() {
		return "", Claims{}, errors.New("jwtauth: access token needs subject, session, time of login, provider, app and openid")
	}
	for _, s := range []string{c.Subject, c.SessionID, c.Provider, c.AppID, c.OpenID, c.UnionID, c.Role} {
		if !utf8.ValidString(s) { // JSON would replace the bad bytes, and two people could become one
			return "", Claims{}, errors.New("jwtauth: a claim is not UTF-8")
		}
	}
	if !c.Departments.valid() {
		return "", Claims{}, errors.New("jwtauth: departments are not ids with commas between them")
	}
	c.IssuedAt, c.ExpiresAt, err = i.life(c.IssuedAt)
	if err != nil {
		return "", Claims{}, err
	}
	c.AuthTime = c.AuthTime.UTC().Truncate(time.Second)
	c.Issuer, c.Audience, c.ClientID, c.ID = i.c.Issuer, i.c.Audience, i.c.ClientID, rand.Text()
	key := i.keys.Signing()
	if !key.canSign() {
		return "", Claims{}, ErrNoSigningKey
	}
	raw, err = sign(key, key.m.accessHeader, accessPayload{
		Iss: c.Issuer, Sub: c.Subject, Aud: c.Audience, ClientID: c.ClientID, Jti: c.ID, Sid: c.SessionID,
		Exp: c.ExpiresAt.Unix(), Iat: c.IssuedAt.Unix(), AuthTime: c.AuthTime.Unix(),
		Provider: c.Provider, AppID: c.AppID, OpenID: c.OpenID, UnionID: c.UnionID, Role: c.Role,
		Departments: c.Departments,
	})
	if err != nil {
		return "", Claims{}, err
	}
	if len(raw) > MaxTokenBytes {
		return "", Claims{}, errors.New("jwtauth: access token would be longer than any verifier takes")
	}
	return raw, c, nil
}

// IDToken signs an ID token. The caller gives Subject, AuthTime, and what to
// show; the issuer sets iss, aud, iat and exp as [Issuer.AccessToken] does. A
// picture, then a nickname, that would make it longer than [MaxIDTokenBytes] is
// left out.
func (i *Issuer) IDToken(c IDClaims) (raw string, err error) {
	if c.Subject == "" || c.AuthTime.IsZero() {
		return "", errors.New("jwtauth: ID token needs subject and time of login")
	}
	iat, exp, err := i.life(c.IssuedAt)
	if err != nil {
		return "", err
	}
	p := idPayload{
		Iss: i.c.Issuer, Sub: c.Subject, Aud: i.c.ClientID,
		Exp: exp.Unix(), Iat: iat.Unix(), AuthTime: c.AuthTime.Unix(),
		Nickname: c.Nickname, Picture: c.Picture,
	}
	key := i.keys.Signing()
	if !key.canSign() {
		return "", ErrNoSigningKey
	}
	for _, shorten := range []func(){func() {}, func() { p.Picture = "" }, func() { p.Nickname = "" }} {
		shorten()
		if raw, err = sign(key, key.m.idHeader, p); err != nil || len(raw) <= MaxIDTokenBytes {
			return raw, err
		}
	}
	return "", fmt.Errorf("jwtauth: ID token would have more than %d bytes", MaxIDTokenBytes)
}

func (i *Issuer) life(wanted time.Time) (iat, exp time.Time, err error) {
	now := i.c.Now().UTC()
	iat = now.Truncate(time.Second)
	if wanted.After(iat) {
		iat = wanted.UTC().Truncate(time.Second)
	}
	if iat.Sub(now) > MaxLeeway {
		return iat, exp, errors.New("jwtauth: time of issue lies more than a minute ahead")
	}
	return iat, iat.Add(i.c.TTL).Truncate(time.Second), nil
}

type accessPayload struct {
	Iss      string `json:"iss"`
	Sub      string `json:"sub"`
	Aud      string `json:"aud"`
	ClientID string `json:"client_id"`
	Exp      int64  `json:"exp"`
	Iat      int64  `json:"iat"`
	Jti      string `json:"jti"`
	Sid      string `json:"sid"`
	AuthTime int64  `json:"auth_time"`
	Provider string `json:"provider"`
	AppID    string `json:"appid"`
	OpenID   string `json:"openid"`
	UnionID  string `json:"unionid,omitempty"`
	Role     string `json:"role,omitempty"`

	Departments Departments `json:"departments,omitempty"`
}

type idPayload struct {
	Iss      string `json:"iss"`
	Sub      string `json:"sub"`
	Aud      string `json:"aud"`
	Exp      int64  `json:"exp"`
	Iat      int64  `json:"iat"`
	AuthTime int64  `json:"auth_time"`
	Nickname string `json:"nickname"`
	Picture  string `json:"picture"`
}

// sign makes a compact JWS (RFC 7515 §7.1) from a header that is encoded already.
func sign(key Key, header string, payload any) (string, error) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false) // six bytes for each & of a picture's address
	if err := enc.Encode(payload); err != nil {
		return "", fmt.Errorf("jwtauth: encode claims: %w", err)
	}
	claims := bytes.TrimSuffix(body.Bytes(), []byte("\n"))

	var token strings.Builder // grows no more: what is signed and what is returned share their bytes
	token.Grow(len(header) + 2 + base64.RawURLEncoding.EncodedLen(len(claims)) + base64.RawURLEncoding.EncodedLen(maxSignature))
	token.WriteString(header)
	token.WriteByte('.')
	writeBase64(&token, claims)
	signature, err := key.m.sign(token.String())
	if err != nil {
		return "", fmt.Errorf("jwtauth: sign: %w", err)
	}
	token.WriteByte('.')
	writeBase64(&token, signature)
	return token.String(), nil
}

// maxSignature is the size of an ES256 or EdDSA signature; for RSA's the token grows.
const maxSignature = 64

// writeBase64 writes the base64url encoding of b (RFC 7515 §2) piece by piece, which needs no second copy.
func writeBase64(to *strings.Builder, b []byte) {
	const size = 384 // a multiple of three: no padding between two pieces
	var piece [size / 3 * 4]byte
	for len(b) > 0 {
		n := min(len(b), size)
		to.Write(base64.RawURLEncoding.AppendEncode(piece[:0], b[:n]))
		b = b[n:]
	}
}

func encodeHeader(alg, kid, typ string) (string, error) {
	if !utf8.ValidString(kid) {
		return "", errors.New("jwtauth: key id is not UTF-8")
	}
	quoted, err := json.Marshal(kid)
	if err != nil {
		return "", fmt.Errorf("jwtauth: encode header: %w", err)
	}
	header := `{"alg":` + strconv.Quote(alg) + `,"kid":` + string(quoted) + `,"typ":` + strconv.Quote(typ) + `}`
	return base64.RawURLEncoding.EncodeToString([]byte(header)), nil
}
