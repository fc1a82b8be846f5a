package hostiletoken

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf16"
)

// encodings are other texts for the segments of a genuine token, and texts in them that are not base64url of UTF-8.
func (f *Forger) encodings() {
	k := f.Keys[0]
	good := f.sign(k, f.base(), f.claims)
	for i, segment := range []string{"header", "payload", "signature"} {
		for name, change := range map[string]func(string) string{
			"padded":             func(s string) string { return s + strings.Repeat("=", (4-len(s)%4)%4) + "=" },
			"padded once":        func(s string) string { return s + "=" },
			"padded twice":       func(s string) string { return s + "==" },
			"with a line feed":   func(s string) string { return s[:4] + "\n" + s[4:] },
			"with CR LF":         func(s string) string { return s[:4] + "\r\n" + s[4:] },
			"with a tab":         func(s string) string { return s[:4] + "\t" + s[4:] },
			"with a space":       func(s string) string { return s[:4] + " " + s[4:] },
			"ending in CR LF":    func(s string) string { return s + "\r\n" },
			"beginning with LF":  func(s string) string { return "\n" + s },
			"with a plus":        func(s string) string { return "+" + s[1:] },
			"with a slash":       func(s string) string { return "/" + s[1:] },
			"with a NUL":         func(s string) string { return s + "\x00" },
			"with a percent":     func(s string) string { return fmt.Sprintf("%%%02x", s[0]) + s[1:] },
			"with a quote":       func(s string) string { return `"` + s + `"` },
			"with a tilde":       func(s string) string { return s + "~" },
			"with a semicolon":   func(s string) string { return s[:4] + ";" + s[4:] },
			"with a non-ASCII é": func(s string) string { return s[:4] + "é" + s[4:] },
			"with a wide letter": func(s string) string { return "ｅ" + s[1:] },
			"with a soft hyphen": func(s string) string { return s[:4] + "\u00ad" + s[4:] },
			"of one letter more": func(s string) string { return s + "A" },
			"of one letter less": func(s string) string { return s[:len(s)-1] },
			"empty":              func(string) string { return "" },
			"in capitals":        strings.ToUpper,
			"in small letters":   strings.ToLower,
			"in hex":             func(s string) string { return hex.EncodeToString([]byte(s)) },
			"encoded twice":      encode,
			"reversed":           func(s string) string { return string(reversed([]byte(s))) },
			"with other spare bits": func(s string) string {
				if len(s)%4 == 0 {
					return s + "A" // it has no spare bits: one letter too many instead
				}
				return nextLetter(s)
			},
		} {
			parts := strings.Split(good, ".")
			parts[i] = change(parts[i])
			f.add(segment+" "+name, strings.Join(parts, "."))
		}
	}
	// The same in texts that the key really signed, so that only the decoding can refuse them.
	header, payload := f.base().String(), f.claims.String()
	for name, text := range map[string]string{
		"a header with spare bits": spareBits(header) + "." + encode(payload), "a payload with spare bits": encode(header) + "." + spareBits(payload),
		"a header with a line end": encode(header)[:8] + "\n" + encode(header)[8:] + "." + encode(payload), "a payload with a line end": encode(header) + "." + encode(payload)[:8] + "\r\n" + encode(payload)[8:],
		"a payload with padding": encode(header) + "." + base64.URLEncoding.EncodeToString(unaligned(payload)), "a header with padding": base64.URLEncoding.EncodeToString(unaligned(header)) + "." + encode(payload),
		"a payload in standard base64": encode(header) + "." + base64.StdEncoding.EncodeToString(slashed(payload)), "a payload in hex": encode(header) + "." + hex.EncodeToString([]byte(payload)),
		"a payload in clear": encode(header) + "." + url.QueryEscape(payload), "a header in clear": header + "." + encode(payload), "a payload in base32 letters": encode(header) + "." + strings.ToUpper(encode(payload)),
	} {
		f.add("signed over "+name, signText(k.Private, text))
	}
}

// documents are headers and payloads, properly signed, that are not one JSON object in UTF-8 (RFC 7515 §2, RFC 8259).
func (f *Forger) documents() {
	header, payload := f.base().String(), f.claims.String()
	for where, doc := range map[string]string{"header": header, "payload": payload} {
		inner := doc[1 : len(doc)-1]
		deep := func(open, shut string, n int) string {
			return `{"x":` + strings.Repeat(open, n) + "1" + strings.Repeat(shut, n) + "," + doc[1:]
		}
		for name, text := range map[string]string{
			"null": "null", "true": "true", "a number": "1", "a string": quote(doc), "a list": "[" + doc + "]", "an empty list": "[]", "an empty object": "{}", "nothing but space": " ", "garbage": "garbage",
			"two objects": doc + doc, "an object and a comma": doc + ",", "an object and a letter": doc + "x", "an object and a NUL": doc + "\x00", "a NUL and an object": "\x00" + doc, "an object cut short": doc[:len(doc)-1], "an object without a brace": doc[1:],
			"an object with a trailing comma": doc[:len(doc)-1] + ",}", "an object with a leading comma": "{," + doc[1:], "an object without commas": strings.ReplaceAll(doc, `,"`, ` "`), "with a comment": doc + "//x", "with an inner comment": "{/**/" + doc[1:], "with a hash comment": doc + "#",
			"with single quotes": strings.ReplaceAll(doc, `"`, `'`), "with names bare": strings.Replace(doc, `{"`, `{`, 1), "with equal signs": strings.ReplaceAll(doc, `":`, `"=`), "as YAML": strings.ReplaceAll(inner, ",", "\n"), "as XML": "<jwt>" + inner + "</jwt>", "as a form": "a=" + url.QueryEscape(doc),
			"with a byte order mark": "\ufeff" + doc, "with a form feed": "\f" + doc, "with a no-break space": "\u00a0" + doc, "with U+2028": doc + "\u2028", "in UTF-16": utf16Text(doc, false), "in UTF-16 with a mark": utf16Text(doc, true), "in UTF-32": strings.Join(strings.Split(doc, ""), "\x00\x00\x00"),
			"in Latin-1": `{"x":"` + "\xe9" + `",` + doc[1:], "with bad UTF-8": `{"x":"` + "\xff" + `",` + doc[1:], "with overlong UTF-8": `{"x":"` + "\xc0\xaf" + `",` + doc[1:], "with a surrogate in UTF-8": `{"x":"` + "\xed\xa0\x80" + `",` + doc[1:], "with UTF-8 beyond Unicode": `{"x":"` + "\xf4\x90\x80\x80" + `",` + doc[1:],
			"with bad UTF-8 in a name": `{"x` + "\xfe" + `":1,` + doc[1:], "with a raw line end in a string": `{"x":"a` + "\n" + `b",` + doc[1:], "with a raw NUL in a string": `{"x":"a` + "\x00" + `b",` + doc[1:], "with a bad escape": `{"x":"\x41",` + doc[1:], "with a cut escape": `{"x":"\u00",` + doc[1:],
			"with an open string": `{"x":"` + doc[1:], "with NaN": `{"x":NaN,` + doc[1:], "with Infinity": `{"x":Infinity,` + doc[1:], "with undefined": `{"x":undefined,` + doc[1:], "with a hex number": `{"x":0x1,` + doc[1:], "with a leading zero": `{"x":01,` + doc[1:], "with a plus sign": `{"x":+1,` + doc[1:],
			"with True": `{"x":True,` + doc[1:], "with a number for a name": `{1:1,` + doc[1:], "with null for a name": `{null:1,` + doc[1:], "with an open list": `{"x":[,` + doc[1:], "with an unbalanced list": `{"x":[1}],` + doc[1:], "with a function": `{"x":function(){},` + doc[1:],
			"opened 900 times": strings.Repeat(`{"x":`, 700) + doc, "opened 3,000 times as lists": strings.Repeat("[", 3000) + doc, "a hundred thousand ones": strings.Repeat("1", 4500), "a name of 4 KB that never ends": `{"` + strings.Repeat("a", 4000), "4 KB of quotes": strings.Repeat(`"`, 4000), "4 KB of backslashes": `{"` + strings.Repeat(`\`, 4001), "4 KB of escapes that never end": `{"` + strings.Repeat(`\u0061`, 700),
			"deep lists that do not close": strings.TrimSuffix(deep("[", "]", 900), "}"), "deep objects that do not close": strings.TrimSuffix(deep(`{"a":`, "}", 500), "}"), "deep lists closed by braces": deep("[", "}", 900),
		} {
			h, p := header, payload
			if where == "header" {
				h = text
			} else {
				p = text
			}
			f.add(where+" "+name, signText(f.Keys[0].Private, encode(h)+"."+encode(p)))
		}
	}
}

// shapes are texts that are not three segments of a fair length, and wrappings of good ones.
func (f *Forger) shapes() {
	good := f.sign(f.Keys[0], f.base(), f.claims)
	parts := strings.Split(good, ".")
	const mega = 1 << 20
	for name, raw := range map[string]string{
		"a dot": ".", "two dots": "..", "three dots": "...", "four dots": "....", "one letter": "a", "three letters": "a.b.c", "no dot": strings.ReplaceAll(good, ".", ""), "one dot less": parts[0] + "." + parts[1] + parts[2], "a dot more": good + ".", "a dot before": "." + good, "two dots between": strings.Replace(good, ".", "..", 1),
		"no header": "." + parts[1] + "." + parts[2], "no payload": parts[0] + ".." + parts[2], "no signature": parts[0] + "." + parts[1] + ".", "the header alone": parts[0], "the payload alone": parts[1], "the segments rotated": parts[1] + "." + parts[2] + "." + parts[0], "four segments": good + "." + parts[2], "five segments": good + "." + parts[0] + "." + parts[1],
		"the token twice": good + good, "two tokens and a comma": good + "," + good, "two tokens and a space": good + " " + good, "two tokens and a line end": good + "\n" + good, "in quotes": `"` + good + `"`, "with Bearer inside": "Bearer " + good, "with a scheme": "bearer:" + good, "with JWT before": "JWT " + good, "percent-encoded": url.QueryEscape("\n" + good), "with a query": good + "?x=1", "with a fragment": good + "#x", "in angle brackets": "<" + good + ">",
		"encoded as a whole": encode(good), "in hex as a whole": hex.EncodeToString([]byte(good)), "in capitals": strings.ToUpper(good), "in small letters": strings.ToLower(good), "reversed": string(reversed([]byte(good))), "without its first letter": good[1:], "without its last letter": good[:len(good)-1], "with another first letter": "f" + good[1:],
		"with a space after": good + " ", "with a space before": " " + good, "with a line end after": good + "\n", "with a NUL after": good + "\x00", "with a zero-width space": good + "\u200b", "with a byte order mark": "\ufeff" + good, "in UTF-16": utf16Text(good, true), "with wide dots": strings.ReplaceAll(good, ".", "．"), "with commas for dots": strings.ReplaceAll(good, ".", ","), "with colons for dots": strings.ReplaceAll(good, ".", ":"),
		"JSON, flattened": `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`, "JSON, general": `{"payload":"` + parts[1] + `","signatures":[{"protected":"` + parts[0] + `","signature":"` + parts[2] + `"}]}`, "JSON with an unprotected header": `{"header":{"alg":"none"},"payload":"` + parts[1] + `","signature":""}`,
		"a Paseto": "v4.public." + parts[1], "a macaroon": "MDAxY2xvY2F0aW9uIGh0dHA6Ly9sb2NhbAo", "null": "null", "undefined": "undefined", "[object Object]": "[object Object]", "an SD-JWT": good + "~WyJhIiwiYiIsImMiXQ~", "a cookie pair": "wxbridge_token=" + good, "basic credentials": "YWRtaW46YWRtaW4",
		"1 MB of letters": strings.Repeat("a", mega), "1 MB of dots": strings.Repeat(".", mega), "500,000 dots": strings.Repeat(".", 500_000), "8,190 dots": strings.Repeat(".", 8190), "1 MB signature": parts[0] + "." + parts[1] + "." + strings.Repeat("A", mega), "1 MB header": strings.Repeat("A", mega) + "." + parts[1] + "." + parts[2], "1 MB payload": parts[0] + "." + strings.Repeat("A", mega) + "." + parts[2],
		"one byte over 8 KiB": good + strings.Repeat("A", 8193-len(good)), "9 KB in a claim": f.sign(f.Keys[0], f.base(), f.claims.with("x", quote(strings.Repeat("x", 9000)))), "9 KB in a header": f.sign(f.Keys[0], f.base().with("x", quote(strings.Repeat("x", 9000))), f.claims), "100,000 levels": f.sign(f.Keys[0], f.base(), f.claims.with("x", strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000))),
		"64 KB": strings.Repeat("a.", 32<<10), "emoji": strings.Repeat("🙂", 100), "control characters": "\x01\x02\x1b[31m", "only spaces": "   ", "SQL": "' OR 1=1--", "a path": "../../etc/passwd", "a template": "{{.}}", "a format": "%s%n%x",
	} {
		f.add("shape: "+name, raw)
	}
}

func utf16Text(s string, mark bool) string {
	var out []byte
	if mark {
		out = append(out, 0xff, 0xfe)
	}
	for _, unit := range utf16.Encode([]rune(s)) {
		out = binary.LittleEndian.AppendUint16(out, unit)
	}
	return string(out)
}

// spareBits encodes s so that the unused bits of the last letter are not zero.
func spareBits(s string) string {
	return nextLetter(base64.RawURLEncoding.EncodeToString(unaligned(s)))
}

func nextLetter(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return s[:len(s)-1] + string(alphabet[(strings.IndexByte(alphabet, s[len(s)-1])+1)%len(alphabet)])
}

// unaligned is s with space behind it until its base64 has spare bits, or padding.
func unaligned(s string) []byte {
	for len(s)%3 == 0 {
		s += " "
	}
	return []byte(s)
}

// slashed is s with a member whose standard base64 has letters that base64url has not.
func slashed(s string) []byte {
	for _, text := range []string{"???>>>", "?x??>>>", "?xx???>>>"} {
		changed := `{"x":"` + text + `",` + s[1:]
		if strings.ContainsAny(base64.StdEncoding.EncodeToString([]byte(changed)), "+/") {
			return unaligned(changed)
		}
	}
	return unaligned(s)
}
