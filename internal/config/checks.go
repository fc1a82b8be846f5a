package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/publicsuffix"
)

func (l *loader) publicURL(value string) *url.URL {
	if value == "" {
		return nil
	}
	u, err := parseBase(value)
	switch {
	case err != nil:
		l.fault("PUBLIC_URL", err.Error())
	case u.Path != "":
		l.fault("PUBLIC_URL", "has a path; give scheme and host only")
	default:
		return u
	}
	return nil
}

// upstream checks the base URL of a WeChat service. A public bridge that asked a simulator who people are would let
// anybody in as anybody (REL-18).
func (l *loader) upstream(name, value string, public *url.URL) *url.URL {
	u, err := parseBase(value)
	if err != nil {
		l.fault(name, err.Error())
		return nil
	}
	if public != nil && public.Scheme == "https" && (u.Scheme == "http" || isLoopback(u.Hostname())) {
		l.fault(name, "leads to this machine or over plain http while "+Prefix+"PUBLIC_URL is https; a simulator must not stand in for WeChat on a public bridge")
		return nil
	}
	return u
}

func (l *loader) listen(name, value string) string {
	host, port, err := net.SplitHostPort(value)
	if err != nil {
		l.fault(name, "is not host:port")
		return ""
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		l.fault(name, "has a port that is not between 0 and 65535")
		return ""
	}
	if host != "" && checkHost(strings.ToLower(host), strings.HasPrefix(value, "[")) != nil {
		l.fault(name, "has a host that is not a name or IP address")
		return ""
	}
	return value
}

// metricsListen checks the listener for metrics, which is never the public one (WEB-13).
func (l *loader) metricsListen(value, public string) string {
	const name = "METRICS_LISTEN"
	if value == "" {
		return ""
	}
	if value == public && !strings.HasSuffix(value, ":0") {
		l.fault(name, "is the address of "+Prefix+"LISTEN, which the public reaches; metrics have one of their own")
		return ""
	}
	return l.listen(name, value)
}

// maxRateLimit is more than one machine answers.
const maxRateLimit = 1_000_000

func (l *loader) rateLimit(perMinute int) int {
	if perMinute < 0 || perMinute > maxRateLimit {
		l.fault("RATE_LIMIT", fmt.Sprintf("is not between 0 (no limit) and %d requests a minute", maxRateLimit))
	}
	return perMinute
}

func (l *loader) database(value string) string {
	path, ok := strings.CutPrefix(value, "sqlite://")
	switch {
	case !ok:
		l.fault("DATABASE", "does not begin with sqlite://")
	case path == "" || strings.HasSuffix(path, "/"):
		l.fault("DATABASE", "names no file")
	case strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f || r == '?' || r == '#' }):
		l.fault("DATABASE", "has a query, fragment or control character; give a plain path")
	case strings.HasPrefix(path, ":") || strings.HasPrefix(path, "file:"):
		l.fault("DATABASE", "names no file on disk")
	case !isFolder(filepath.Dir(path)):
		l.fault("DATABASE", "lies in a folder that does not exist")
	case isFolder(path):
		l.fault("DATABASE", "names a folder, not a file")
	default:
		return value
	}
	return ""
}

func (l *loader) returnOrigins(value string) []string {
	var origins []string
	for i, entry := range entries(value) {
		origin, err := parseOrigin(entry)
		switch {
		case entry == "":
			l.fault("RETURN_ORIGINS", fmt.Sprintf("entry %d is empty", i+1))
		case err != nil:
			l.fault("RETURN_ORIGINS", fmt.Sprintf("entry %d %v", i+1, err))
		case !slices.Contains(origins, origin):
			origins = append(origins, origin)
		}
	}
	return origins
}

// maxReturnTo is the longest return address, in bytes, a login takes.
const maxReturnTo = 1024

// defaultReturnTo holds the default to the rule every return_to is held to: a path of ours, or a URL on our own or a
// listed origin, to the letter (RET-01).
func (l *loader) defaultReturnTo(value string, public *url.URL, origins []string) string {
	const name = "DEFAULT_RETURN_TO"
	path, ok := value, strings.HasPrefix(value, "/")
	if public != nil {
		origins = append([]string{public.String()}, origins...)
	}
	for _, origin := range origins {
		if rest, found := strings.CutPrefix(value, origin); found && (rest == "" || strings.ContainsRune("/?#", rune(rest[0]))) {
			path, ok = rest, true
		}
	}
	_, err := url.Parse(value)
	switch {
	case len(value) > maxReturnTo:
		l.fault(name, fmt.Sprintf("has more than %d bytes", maxReturnTo))
	case hasControl(value):
		l.fault(name, "has a space, backslash or control character")
	case !ok && public == nil: // whose origin it might be on is reported as the fault it is
	case err != nil || !ok:
		l.fault(name, "is neither a path of ours (/…) nor a URL on one of "+Prefix+"RETURN_ORIGINS")
	case !isPlainPath(path):
		l.fault(name, "begins with two slashes or has a . or .. in its path")
	default:
		return value
	}
	return ""
}

func isPlainPath(path string) bool {
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		path = path[:i]
	}
	for segment := range strings.SplitSeq(path, "/") {
		if decoded, err := url.PathUnescape(segment); err != nil || decoded == "." || decoded == ".." {
			return false
		}
	}
	return !strings.HasPrefix(path, "//")
}

// hasControl reports bytes that browsers drop or read as a slash, and text that is not UTF-8.
func hasControl(text string) bool {
	return !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' })
}

// cookieDomain checks that browsers will take cookies of that domain from the public URL.
func (l *loader) cookieDomain(value string, public *url.URL) string {
	const name = "COOKIE_DOMAIN"
	if value == "" {
		return ""
	}
	domain := strings.TrimPrefix(strings.ToLower(value), ".")
	if _, err := netip.ParseAddr(domain); err == nil {
		l.fault(name, "is an IP address; leave it out, cookies then stay with the host")
		return ""
	}
	if checkHost(domain, false) != nil {
		l.fault(name, "is not a domain name; give the name alone, without scheme, port or path")
		return ""
	}
	if suffix, _ := publicsuffix.PublicSuffix(domain); suffix == domain {
		l.fault(name, "is a public suffix, for which browsers refuse cookies")
		return ""
	}
	if public != nil {
		if host := public.Hostname(); host != domain && !strings.HasSuffix(host, "."+domain) {
			l.fault(name, "is neither the host of "+Prefix+"PUBLIC_URL nor a parent domain of it")
			return ""
		}
	}
	return domain
}

func (l *loader) trustedProxies(value string) []string {
	var networks []string
	for i, entry := range entries(value) {
		network, err := parseNetwork(entry)
		switch {
		case err != nil:
			l.fault("TRUSTED_PROXIES", fmt.Sprintf("entry %d is not an IP address or network such as 10.0.0.0/8", i+1))
		case network.Bits() == 0:
			l.fault("TRUSTED_PROXIES", fmt.Sprintf("entry %d trusts the whole internet; name the proxies", i+1))
		default:
			networks = append(networks, network.String())
		}
	}
	return networks
}

func parseNetwork(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		network, err := netip.ParsePrefix(text)
		if err == nil && network.Addr().Is4In6() {
			return netip.Prefix{}, fmt.Errorf("an IPv4 network in IPv6 form")
		}
		return network.Masked(), err
	}
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("not an IP address")
	}
	ip = ip.Unmap()
	return netip.PrefixFrom(ip, ip.BitLen()), nil
}

func (l *loader) folder(name, value string) string {
	if value != "" && !isFolder(value) {
		l.fault(name, "is not an existing folder")
		return ""
	}
	return value
}

// readable checks that a file can be read; what is in it is its reader's business.
func (l *loader) readable(name, path string, readFile func(string) ([]byte, error)) string {
	if path == "" {
		return ""
	}
	if _, err := readFile(path); err != nil {
		l.fault(name, "names a file that cannot be read ("+reason(err)+")")
		return ""
	}
	return path
}

func (l *loader) profilePolicy(value string) ProfilePolicy {
	switch value {
	case "unknown":
		return ProfilePolicy{}
	case "never":
		return ProfilePolicy{Never: true}
	}
	age, err := time.ParseDuration(value)
	if err != nil {
		l.fault("PROFILE_POLICY", "is not unknown, never or a duration such as 480h")
		return ProfilePolicy{}
	}
	return ProfilePolicy{MaxAge: l.duration("PROFILE_POLICY", age, time.Second, 10*365*24*time.Hour)}
}

// link checks an address that pages link to.
func (l *loader) link(name, value string) string {
	if value == "" {
		return ""
	}
	u, err := url.Parse(value)
	switch {
	case err != nil || hasControl(value):
		l.fault(name, "is not a URL")
	case u.Scheme != "https" && u.Scheme != "http":
		l.fault(name, "does not begin with https://")
	case u.User != nil:
		l.fault(name, "has a user name or password")
	default:
		if _, err := normalHost(u); err != nil {
			l.fault(name, err.Error())
			return ""
		}
		return value
	}
	return ""
}

// duration checks bounds. Tokens, cookies and cache headers count whole seconds.
func (l *loader) duration(name string, d, least, most time.Duration) time.Duration {
	switch {
	case l.has(Prefix + name): // was not a duration
	case d < least || d > most:
		l.fault(name, fmt.Sprintf("is not between %s and %s", short(least), short(most)))
	case d%time.Second != 0:
		l.fault(name, "is not in whole seconds")
	}
	return d
}

// algorithm checks JWT_ALG, whose names are case-sensitive (RFC 7515 §4.1.1).
func (l *loader) algorithm(value string) string {
	if !slices.Contains([]string{"ES256", "EdDSA", "RS256", "HS256"}, value) {
		l.fault("JWT_ALG", "is not ES256, EdDSA, RS256 or HS256")
	}
	return value
}

// keyMaxAge checks that a key is not replaced before the one it replaced is gone, so that a key set stays small.
func (l *loader) keyMaxAge(v variables) time.Duration {
	const name = "KEY_MAX_AGE"
	age := l.duration(name, v.KeyMaxAge, time.Hour, 3*365*24*time.Hour)
	if !l.has(Prefix+name) && !l.has(Prefix+"JWT_TTL") && !l.has(Prefix+"JWKS_MAX_AGE") && age < 2*(v.JWTTTL+v.JWKSMaxAge) {
		l.fault(name, "is less than twice "+Prefix+"JWT_TTL and "+Prefix+"JWKS_MAX_AGE together: keys would pile up")
	}
	return age
}

// short writes a duration as people do, 720h instead of 720h0m0s.
func short(d time.Duration) string {
	text := d.String()
	text, _ = strings.CutSuffix(text, "m0s")
	if text != d.String() {
		text += "m"
	}
	if hours, ok := strings.CutSuffix(text, "h0m"); ok {
		text = hours + "h"
	}
	return text
}

// audience checks aud, a StringOrURI (RFC 7519 §2) that must tell access tokens from ID tokens.
func (l *loader) audience(value string, public *url.URL) string {
	const name = "JWT_AUDIENCE"
	switch {
	case value == "" && public != nil:
		return public.String() + "/api"
	case value == ClientID:
		l.fault(name, "is "+ClientID+", the audience of ID tokens; an ID token would pass for an access token")
	case len(value) > 255:
		l.fault(name, "has more than 255 bytes")
	case strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ',' }):
		l.fault(name, "is not one name or URL of printable ASCII characters")
	case strings.Contains(value, ":") && !isURI(value):
		l.fault(name, "has a colon but is no URI")
	}
	return value
}

func isURI(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme != ""
}

// entries splits a comma-separated list; no text is no entry.
func entries(value string) []string {
	if strings.TrimSpace(value) == "" {
		return nil
	}
	list := strings.Split(value, ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
