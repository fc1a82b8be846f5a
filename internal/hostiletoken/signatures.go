package hostiletoken

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" // a signature over SHA-1 must be refused
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"hash"
	"math/big"
	"strings"
)

func algOf(k Key) string {
	switch k.Private.(type) {
	case ed25519.PrivateKey:
		return "EdDSA"
	case *rsa.PrivateKey:
		return "RS256"
	default:
		return "ES256"
	}
}

// signText makes a compact JWS of two segments, in the key's own algorithm.
func signText(private crypto.Signer, text string) string {
	digest := sha256.Sum256([]byte(text))
	switch k := private.(type) {
	case ed25519.PrivateKey:
		return text + "." + b64(ed25519.Sign(k, []byte(text)))
	case *rsa.PrivateKey:
		return text + "." + b64(must(rsa.SignPKCS1v15(nil, k, crypto.SHA256, digest[:])))
	case *ecdsa.PrivateKey:
		return text + "." + b64(ecdsaSign(k, digest[:]))
	default:
		panic(fmt.Sprintf("cannot sign with %T", private))
	}
}

// ecdsaSign is RFC 7518 §3.4: r and s side by side.
func ecdsaSign(k *ecdsa.PrivateKey, digest []byte) []byte {
	r, s, err := ecdsa.Sign(rand.Reader, k, digest)
	if err != nil {
		panic(err)
	}
	size := (k.Params().BitSize + 7) / 8
	out := make([]byte, 2*size)
	r.FillBytes(out[:size])
	s.FillBytes(out[size:])
	return out
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // only ever of a key that its maker found good
	}
	return v
}

// algorithms are the tricks with alg: none, another family, another hash (RFC 8725 §3.1, CVE-2015-9235, CVE-2016-5431).
func (f *Forger) algorithms(k Key) {
	own := algOf(k)
	names := []string{"", " ", "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
		"ES256K", "EdDSA", "Ed25519", "Ed448", "ML-DSA-44", "RS1", "A128KW", "A256GCMKW", "dir", "RSA-OAEP", "RSA1_5", "ECDH-ES",
		"PBES2-HS256+A128KW", "SHA256", "null", "undefined", "nonе" /* Cyrillic е */, "none\u0000", " none", "none ", "n\u00f6ne", "\ufeffnone",
		strings.ToLower(own), own + " ", " " + own, own + "\u0000", own + "\n", own + ",none", "-" + own, strings.Repeat(own, 100)}
	for i := range 16 { // every spelling of none
		name := []byte("none")
		for bit := range name {
			if i>>bit&1 == 1 {
				name[bit] -= 'a' - 'A'
			}
		}
		names = append(names, string(name))
	}
	for _, alg := range names {
		if alg == own || alg == strings.ToLower(own) && alg == own {
			continue
		}
		header := f.headerOf(k).with("alg", quote(alg))
		text := encode(header.String()) + "." + encode(f.claims.String())
		f.add(fmt.Sprintf("%s key: alg %.30q, signed", own, alg), f.sign(k, header, f.claims))
		f.add(fmt.Sprintf("%s key: alg %.30q, no signature", own, alg), text+".")
		f.add(fmt.Sprintf("%s key: alg %.30q, no third segment", own, alg), text)
	}
	for _, raw := range []string{"null", "true", "false", "0", "1", `["` + own + `"]`, `{"` + own + `":1}`, `[]`, `{}`, `"\ud800"`} {
		f.add(own+" key: alg is "+raw, f.sign(k, f.headerOf(k).with("alg", raw), f.claims))
	}
	f.add(own+" key: no alg", f.sign(k, f.headerOf(k).without("alg"), f.claims))
	f.add(own+" key: Alg for alg", f.sign(k, f.headerOf(k).without("alg").with("Alg", quote(own)), f.claims))
	for _, other := range f.Keys {
		if other.ID != k.ID {
			f.add(own+" key: signed by and saying the "+algOf(other)+" of another key", f.sign(other, f.headerOf(other).with("kid", quote(k.ID)), f.claims))
			f.add(own+" key: signed by the "+algOf(other)+" key", f.sign(other, f.headerOf(k), f.claims))
		}
	}
	f.confusion(k)
}

// confusion takes what is public for an HMAC secret (RFC 8725 §2.1).
func (f *Forger) confusion(k Key) {
	for what, secret := range publicForms(k, f.JWKS) {
		for alg, newHash := range map[string]func() hash.Hash{"HS256": sha256.New, "HS384": sha512.New384, "HS512": sha512.New} {
			for _, says := range []string{alg, algOf(k)} {
				text := encode(f.headerOf(k).with("alg", quote(says)).String()) + "." + encode(f.claims.String())
				mac := hmac.New(newHash, secret)
				mac.Write([]byte(text))
				f.add(fmt.Sprintf("%s key: %s keyed with %s, alg %s", algOf(k), alg, what, says), text+"."+b64(mac.Sum(nil)))
			}
		}
	}
}

func publicForms(k Key, jwks []byte) map[string][]byte {
	public := k.Private.Public()
	der := must(x509.MarshalPKIXPublicKey(public))
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	forms := map[string][]byte{
		"the DER": der, "the PEM": text, "the PEM without its last line end": text[:len(text)-1], "the PEM with CR LF": []byte(strings.ReplaceAll(string(text), "\n", "\r\n")),
		"base64 of the DER": []byte(base64.StdEncoding.EncodeToString(der)), "hex of the DER": []byte(hex.EncodeToString(der)), "the JWK Set": jwks,
		"the kid": []byte(k.ID), "nothing": {}, "a zero byte": {0}, "32 zero bytes": make([]byte, 32), "the word secret": []byte("secret"), "the word null": []byte("null"),
	}
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		point := must(p.Bytes())
		forms["the point"], forms["x and y"], forms["x"] = point, point[1:], point[1:33]
	case ed25519.PublicKey:
		forms["the raw key"] = p
	case *rsa.PublicKey:
		forms["the modulus"], forms["the PKCS #1 DER"] = p.N.Bytes(), x509.MarshalPKCS1PublicKey(p)
		forms["the PKCS #1 PEM"] = pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(p)})
	}
	return forms
}

// signatures are bad ones under a header and claims that are good.
func (f *Forger) signatures(k Key) {
	good := f.sign(k, f.headerOf(k), f.claims)
	text, signature := good[:strings.LastIndexByte(good, '.')], must(base64.RawURLEncoding.DecodeString(good[strings.LastIndexByte(good, '.')+1:]))
	add := func(name string, bad []byte) { f.add(algOf(k)+" signature "+name, text+"."+b64(bad)) }
	for i := 0; i < len(signature); i += max(1, len(signature)/64) {
		flipped := append([]byte{}, signature...)
		flipped[i] ^= 1 << (i % 8)
		add(fmt.Sprintf("with a bit flipped in byte %d", i), flipped)
	}
	for _, n := range []int{1, 31, 32, 33, 48, 63, 128, 255} {
		if n < len(signature) {
			add(fmt.Sprintf("cut to %d bytes", n), signature[:n])
		}
	}
	if len(signature) == 64 {
		add("halves exchanged", append(append([]byte{}, signature[32:]...), signature[:32]...))
	}
	n := len(signature)
	for name, bad := range map[string][]byte{
		"of zeros": make([]byte, n), "of ones": []byte(strings.Repeat("\xff", n)), "one byte longer": append(append([]byte{}, signature...), 0),
		"after a zero byte": append([]byte{0}, signature...), "twice": append(append([]byte{}, signature...), signature...), "of one zero byte": {0},
		"of 96 zero bytes": make([]byte, 96), "of 132 zero bytes": make([]byte, 132), "of 5,000 zero bytes": make([]byte, 5000),
		"reversed": reversed(signature),
	} {
		add(name, bad)
	}
	other := f.sign(k, f.headerOf(k), f.claims.with("sub", `"somebody-else"`))
	f.add(algOf(k)+" signature of another token", text+other[strings.LastIndexByte(other, '.'):])
	header, payload, _ := strings.Cut(text, ".")
	for name, covered := range map[string]string{"the payload alone": payload, "the header alone": header, "header and payload without the dot": header + payload,
		"payload before header": payload + "." + header, "a dot more": text + ".", "the decoded text": f.headerOf(k).String() + "." + f.claims.String(), "nothing": ""} {
		signed := signText(k.Private, covered)
		f.add(algOf(k)+" signature over "+name, text+signed[strings.LastIndexByte(signed, '.'):])
	}
	switch private := k.Private.(type) {
	case *ecdsa.PrivateKey:
		f.ecdsaEdges(private, text, add)
	case ed25519.PrivateKey:
		f.ed25519Edges(private, text, signature, add)
	case *rsa.PrivateKey:
		f.rsaEdges(private, text, signature, add)
	}
}

func reversed(b []byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		out[len(b)-1-i] = c
	}
	return out
}

// ecdsaEdges: r and s out of their range (CVE-2022-21449), other encodings, other hashes. (r, n-s) is missing on purpose:
// it is as good a signature as (r, s), by ECDSA itself.
func (f *Forger) ecdsaEdges(k *ecdsa.PrivateKey, text string, add func(string, []byte)) {
	p := elliptic.P256().Params()
	one := big.NewInt(1)
	edges := map[string]*big.Int{"0": new(big.Int), "1": one, "2": big.NewInt(2), "n": p.N, "n-1": new(big.Int).Sub(p.N, one), "n+1": new(big.Int).Add(p.N, one),
		"p": p.P, "2^256-1": new(big.Int).Sub(new(big.Int).Lsh(one, 256), one), "Gx": p.Gx}
	for rName, r := range edges {
		for sName, s := range edges {
			pair := make([]byte, 64)
			r.FillBytes(pair[:32])
			s.FillBytes(pair[32:])
			add("with r="+rName+" s="+sName, pair)
		}
	}
	digest, sha384, sha512sum := sha256.Sum256([]byte(text)), sha512.Sum384([]byte(text)), sha512.Sum512([]byte(text))
	add("in ASN.1", must(ecdsa.SignASN1(rand.Reader, k, digest[:])))
	add("over SHA-384", ecdsaSign(k, sha384[:]))
	add("over SHA-512", ecdsaSign(k, sha512sum[:]))
	add("over the text itself", ecdsaSign(k, []byte(text)[:32]))
	good := ecdsaSign(k, digest[:])
	wide := make([]byte, 132)
	copy(wide[34:66], good[:32])
	copy(wide[100:], good[32:])
	add("as wide as P-521", wide)
	plusN := new(big.Int).Add(new(big.Int).SetBytes(good[32:]), p.N)
	add("with s+n", append(append([]byte{}, good[:32]...), plusN.Bytes()...))
	larger := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	add("by a key on P-384", ecdsaSign(larger, sha384[:]))
}

// ed25519Edges: what RFC 8032 §5.1.7 has a verifier refuse, and the variants for other purposes.
func (f *Forger) ed25519Edges(k ed25519.PrivateKey, text string, good []byte, add func(string, []byte)) {
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	s := new(big.Int).SetBytes(reversed(good[32:]))
	for i := int64(1); i <= 8; i++ {
		wrapped := new(big.Int).Add(s, new(big.Int).Mul(order, big.NewInt(i)))
		if wrapped.BitLen() <= 256 {
			add(fmt.Sprintf("with S+%dL", i), append(append([]byte{}, good[:32]...), reversed(wrapped.FillBytes(make([]byte, 32)))...))
		}
	}
	add("with S=L", append(append([]byte{}, good[:32]...), reversed(order.FillBytes(make([]byte, 32)))...))
	for name, point := range map[string]string{
		"the identity": "0100000000000000000000000000000000000000000000000000000000000000", "the identity, not canonical": "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"the identity with a sign": "0100000000000000000000000000000000000000000000000000000000000080", "a point of order 2": "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"a point of order 4": "0000000000000000000000000000000000000000000000000000000000000000", "a point of order 8": "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"no point": "0200000000000000000000000000000000000000000000000000000000000000", "y over p": "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		r := must(hex.DecodeString(point))
		add("with R "+name+" and S=0", append(append([]byte{}, r...), make([]byte, 32)...))
		add("with R "+name+" and the good S", append(append([]byte{}, r...), good[32:]...))
	}
	digest := sha512.Sum512([]byte(text))
	add("of Ed25519ph", must(k.Sign(nil, digest[:], &ed25519.Options{Hash: crypto.SHA512})))
	add("of Ed25519ctx", must(k.Sign(nil, []byte(text), &ed25519.Options{Context: "jwt"})))
	add("over SHA-512 of the text", ed25519.Sign(k, digest[:]))
}

// rsaEdges: other paddings and hashes, numbers out of range, and the encodings a lax reader of PKCS #1 v1.5 takes
// (Bleichenbacher 2006, CVE-2006-4339).
func (f *Forger) rsaEdges(k *rsa.PrivateKey, text string, good []byte, add func(string, []byte)) {
	d256, d1, d384, d512 := sha256.Sum256([]byte(text)), sha1.Sum([]byte(text)), sha512.Sum384([]byte(text)), sha512.Sum512([]byte(text))
	add("with PSS padding", must(rsa.SignPSS(rand.Reader, k, crypto.SHA256, d256[:], nil)))
	add("with PSS padding without salt", must(rsa.SignPSS(rand.Reader, k, crypto.SHA256, d256[:], &rsa.PSSOptions{SaltLength: 0})))
	add("over SHA-1", must(rsa.SignPKCS1v15(nil, k, crypto.SHA1, d1[:])))
	add("over SHA-384", must(rsa.SignPKCS1v15(nil, k, crypto.SHA384, d384[:])))
	add("over SHA-512", must(rsa.SignPKCS1v15(nil, k, crypto.SHA512, d512[:])))
	add("over the bare digest", must(rsa.SignPKCS1v15(nil, k, 0, d256[:])))
	size, one := k.Size(), big.NewInt(1)
	for name, number := range map[string]*big.Int{"1": one, "2": big.NewInt(2), "n-1": new(big.Int).Sub(k.N, one), "n": k.N, "n+1": new(big.Int).Add(k.N, one)} {
		add("that is the number "+name, number.FillBytes(make([]byte, size)))
	}
	plusN := new(big.Int).Add(new(big.Int).SetBytes(good), k.N)
	add("plus n", plusN.Bytes())

	info := must(hex.DecodeString("3031300d060960864801650304020105000420"))
	block := func(padding int, rest ...[]byte) []byte {
		em := append([]byte{0, 1}, []byte(strings.Repeat("\xff", padding))...)
		em = append(em, 0)
		for _, r := range rest {
			em = append(em, r...)
		}
		for len(em) < size {
			em = append(em, 0xaa)
		}
		return new(big.Int).Exp(new(big.Int).SetBytes(em), k.D, k.N).FillBytes(make([]byte, size))
	}
	full := size - 3 - len(info) - len(d256)
	noNull := must(hex.DecodeString("302f300b0609608648016503040201"))
	add("with garbage behind the digest", block(8, info, d256[:]))
	add("with one byte of garbage", block(full-1, info, d256[:]))
	add("without NULL parameters", block(size-3-len(noNull)-2-len(d256), noNull, []byte{4, 32}, d256[:]))
	add("without padding", block(0, info, d256[:]))
	add("with the digest of nothing", block(full, info, make([]byte, 32)))
	wrongType := append([]byte{0, 2}, []byte(strings.Repeat("\xff", full))...)
	wrongType = append(append(append(wrongType, 0), info...), d256[:]...)
	add("of block type 2", new(big.Int).Exp(new(big.Int).SetBytes(wrongType), k.D, k.N).FillBytes(make([]byte, size)))
	if trimmed := strings.TrimLeft(string(good), "\x00"); len(trimmed) < len(good) {
		add("without its leading zero", []byte(trimmed))
	}
}
