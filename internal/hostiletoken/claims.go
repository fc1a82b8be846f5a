package hostiletoken

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// claimTypes are claims of a wrong type, missing or under another name (RFC 7519 §4, RFC 9068 §2.2).
func (f *Forger) claimTypes() {
	h, c := f.base(), f.claims
	required := []string{"iss", "sub", "aud", "client_id", "jti", "sid", "exp", "iat"}
	for _, name := range required {
		f.signed("no "+name, h, c.without(name))
		for _, other := range []string{strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:], name + " ", " " + name, name + `\u0000`, name + "_", "\ufeff" + name} {
			f.signed(fmt.Sprintf("%q for %s", other, name), h, c.without(name).with(other, c.get(name)))
		}
		f.signed(name+" in the header instead", h.with(name, c.get(name)), c.without(name))
		f.signed(name+" one level deeper", h, c.without(name).with("claims", `{"`+name+`":`+c.get(name)+`}`))
	}
	for _, name := range []string{"iss", "sub", "aud", "client_id", "jti", "sid", "provider", "appid", "openid", "unionid", "role"} {
		for _, raw := range []string{`""`, `null`, `0`, `7`, `-1.5`, `true`, `false`, `[]`, `{}`, `[[]]`, `{"a":"b"}`, `"\ud800"`, `"\udc00x"`, `1e400`} {
			f.signed(name+" is "+raw, h, c.with(name, raw))
		}
		if name != "aud" && c.get(name) != "" {
			f.signed(name+" as a list of one", h, c.with(name, "["+c.get(name)+"]"))
		}
	}
	for _, name := range []string{"exp", "iat", "nbf", "auth_time"} {
		hour := f.at(time.Hour)
		for _, raw := range []string{`"` + hour + `"`, `""`, `"NaN"`, `"never"`, `null`, `true`, `false`, `[` + hour + `]`, `{}`, `[]`, `{"$date":` + hour + `}`, `-1`, `-0.5`, `-1e300`, `1e300`, `1e308`, `1e309`, `1e400`, `-1e400`,
			`1e99999`, `1e-99999e`, `253402300800`, `9007199254740993e3`, `9223372036854775807`, `9223372036854775808`, `18446744073709551615`, `18446744073709551616`, `-9223372036854775808`,
			"1" + strings.Repeat("0", 400), "1" + strings.Repeat("0", 5000), `"` + strings.Repeat("9", 1000) + `"`, `1` + strings.Repeat("0", 30) + `.5`, hour + "000000000"} {
			f.signed(name+" is "+cut(raw), h, c.with(name, raw))
		}
		for _, raw := range []string{"NaN", "Infinity", "-Infinity", "+" + hour, "0" + hour, hour + ".", "." + hour, "0x7fffffff", "0b1", "0o17", hour[:4] + "_" + hour[4:], hour + "e", hour + "e+", hour + "n", hour + "L", "'" + hour + "'", "new Date()", "undefined", "None", ""} {
			f.signed(name+" is the non-JSON "+raw, h, c.with(name, raw))
		}
	}
}

// claimValues are claims of the right type that say the wrong thing (RFC 8725 §3.8, §3.9).
func (f *Forger) claimValues() {
	h, c := f.base(), f.claims
	iss, err := strconv.Unquote(c.get("iss"))
	if err != nil {
		panic(err)
	}
	aud, err := strconv.Unquote(c.get("aud"))
	if err != nil {
		panic(err)
	}
	scheme, host, _ := strings.Cut(iss, "://")
	for _, other := range []string{"https://evil.example", iss + "/", iss + ".evil.example", iss + "@evil.example", iss + "#", iss + "?", iss + " ", " " + iss, iss + "\x00", iss + "\n", "\ufeff" + iss, iss + "/.",
		strings.ToUpper(iss), strings.ToUpper(scheme[:1]) + scheme[1:] + "://" + host, scheme + "s://" + host, scheme + ":" + host, "//" + host, host, scheme + "://" + host + ":443", scheme + "://user@" + host, scheme + "://" + host + ".", iss[:len(iss)-1],
		strings.Replace(iss, "/", `\`, 1), strings.ReplaceAll(iss, "/", "%2f"), iss + "," + iss, iss + " " + iss, "*", ".*", "wxbridge", aud, strings.Repeat("a", 5000)} {
		f.signed("iss "+strconv.Quote(cut(other)), h, c.with("iss", quote(other)))
	}
	for _, other := range []string{"wxbridge", iss, aud + "/", aud + "/v2", aud[:len(aud)-1], strings.ToUpper(aud), aud + " ", " " + aud, aud + "\x00", aud + "\n", "\ufeff" + aud, aud + "," + aud, aud + " wxbridge", "*", "", "null", "https://other.example/api", strings.Repeat("a", 5000)} {
		f.signed("aud "+strconv.Quote(cut(other)), h, c.with("aud", quote(other)))
		f.signed("aud a list of "+strconv.Quote(cut(other)), h, c.with("aud", "["+quote(other)+"]"))
	}
	for _, raw := range []string{`[` + quote(aud) + `,1]`, `[1,` + quote(aud) + `]`, `[` + quote(aud) + `,null]`, `[` + quote(aud) + `,""]`, `[[` + quote(aud) + `]]`, `{` + quote(aud) + `:1}`, `{"0":` + quote(aud) + `}`, `[` + quote(aud) + `,{}]`,
		`["a","b"]`, `[` + strings.TrimSuffix(strings.Repeat(`"a",`, 1000), ",") + `]`, `[` + strings.TrimSuffix(strings.Repeat(`1,`, 2000), ",") + `]`, strings.Repeat("[", 2000) + quote(aud) + strings.Repeat("]", 2000)} {
		f.signed("aud is "+cut(raw), h, c.with("aud", raw))
	}
	for _, ago := range []time.Duration{2 * time.Minute, time.Hour, 24 * time.Hour, 10 * 365 * 24 * time.Hour} {
		f.signed(fmt.Sprintf("expired %v ago", ago), h, c.with("exp", f.at(-ago)).with("iat", f.at(-ago-time.Hour)).with("auth_time", f.at(-ago-time.Hour)))
		for _, name := range []string{"iat", "nbf", "auth_time"} {
			f.signed(fmt.Sprintf("%s %v ahead", name, ago), h, c.with(name, f.at(ago)).with("exp", f.at(ago+time.Hour)))
		}
	}
	f.signed("exp 0", h, c.with("exp", "0"))
	f.signed("exp -0", h, c.with("exp", "-0"))
	f.signed("exp 0.0e9", h, c.with("exp", "0.0e9"))
	f.signed("exp in milliseconds, long ago", h, c.with("exp", "1.0e-3"))
	f.signed("nbf at the end of the year 9999", h, c.with("nbf", "253402300799"))
	f.signed("iat at the end of the year 9999", h, c.with("iat", "253402300799"))
	f.signed("nothing but an endless exp", h, object{{"exp", "253402300799"}})
}

// duplicates say a thing twice: parsers disagree on which one counts (RFC 8725 §2.4, RFC 7519 §4).
func (f *Forger) duplicates() {
	h, c := f.base(), f.claims
	escaped := func(name string) string { return fmt.Sprintf(`\u%04x`, name[0]) + name[1:] }
	for _, name := range []string{"iss", "sub", "aud", "exp", "iat", "jti", "sid", "client_id", "auth_time", "provider", "openid"} {
		good := c.get(name)
		for what, value := range map[string]string{"the same value": good, "another": `"x"`, "null": "null", "an endless date": "253402300799"} {
			f.signed(name+" twice, then "+what, h, c.and(name, value))
			f.signed(name+" twice, first "+what, h, object{{name, value}}.join(c))
			f.signed(name+" twice by an escape, then "+what, h, c.and(escaped(name), value))
			f.signed(name+" twice by an escape, first "+what, h, object{{escaped(name), value}}.join(c))
		}
	}
	f.signed("an unknown claim twice", h, c.and("x", "1").and("x", "1"))
	f.signed("a claim without a name, twice", h, c.and("", "1").and("", "1"))
	f.signed("names that differ in half a surrogate", h, c.and(`\ud800`, "1").and(`\udfff`, "1"))
	f.signed("a name of half a surrogate", h, c.and(`\ud800`, "1"))
	for _, name := range []string{"alg", "kid", "typ"} {
		good := h.get(name)
		for what, value := range map[string]string{"the same value": good, "none": `"none"`, "null": "null", "another": `"JWT"`} {
			f.signed("header "+name+" twice, then "+what, h.and(name, value), c)
			f.signed("header "+name+" twice, first "+what, object{{name, value}}.join(h), c)
			f.signed("header "+name+" twice by an escape, then "+what, h.and(escaped(name), value), c)
			f.signed("header "+name+" twice by an escape, first "+what, object{{escaped(name), value}}.join(h), c)
		}
	}
	many, few := c, h
	for i := range 100 {
		many, few = many.and("x"+strconv.Itoa(i), "1"), few.and("x"+strconv.Itoa(i), "1")
	}
	f.signed("a hundred claims too many", h, many)
	f.signed("a hundred headers too many", few, c)
	f.signed("400 headers too many", h.join(manyMembers(400)), c)
	f.signed("400 claims too many", h, c.join(manyMembers(400)))
}

func manyMembers(n int) object {
	var o object
	for i := range n {
		o = append(o, [2]string{strconv.FormatInt(int64(i), 36), "1"})
	}
	return o
}

func (o object) join(other object) object { return append(append(object{}, o...), other...) }
