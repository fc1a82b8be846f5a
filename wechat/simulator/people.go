package simulator

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"unicode"
	"unicode/utf8"
)

// person is somebody who can hold the phone. People are made from their name alone: nothing about a crowd is stored.
type person struct {
	name     string
	nickname string
	about    string // for the chooser page

	follower bool // follows every official account
	snapshot bool // WeChat opens userinfo links in snapshot mode for them
	refuses  bool // taps 拒绝 without being asked what to do

	noAvatar bool   // headimgurl is ""
	rawName  []byte // goes out as nickname byte for byte, if not nil
}

// castNames are the people of the launcher and of GET /_simulator/people.
func castNames() []string { return []string{"alice", "bob", "sunny", "nora", "wei", "guest"} }

// lookup finds a person by name. A name that is not in the cast is a stranger with that name as nickname. The names
// that begin with odd- have the nicknames and avatars that break naive clients (observed, wechat-protocol §0.1, §1.4).
func lookup(name string) person {
	p := person{name: name, nickname: name, about: "a stranger"}
	switch name {
	case "alice":
		p.nickname, p.about, p.follower = "爱丽丝", "follows the account", true
	case "bob":
		p.nickname, p.about = "Bob 鲍勃", "a stranger"
	case "sunny":
		p.nickname, p.about, p.snapshot = "晴天☀️", "gets the snapshot page", true
	case "nora":
		p.nickname, p.about, p.refuses = "诺拉", "refuses", true
	case "wei":
		p.nickname, p.about = "魏 👨‍👩‍👧", "WeCom member"
	case "guest":
		p.nickname, p.about = "访客", "no WeCom member"
	case "odd-zwj":
		p.nickname = "👩🏽‍💻\u200d\u200b🏳️‍🌈"
	case "odd-rtl":
		p.nickname = "\u202eمرحبا\u202c abc"
	case "odd-control":
		p.nickname = "tab\there\u0007\u007f"
	case "odd-private":
		p.nickname = "\ue13c旧表情" // an emoji as older clients sent it
	case "odd-markup":
		p.nickname = `</script><img src=x onerror=alert(1)>"'&`
	case "odd-long":
		p.nickname = strings.Repeat("很长的名字", 40)
	case "odd-empty":
		p.nickname, p.noAvatar = "", true
	case "odd-raw":
		// Bytes that strict JSON and UTF-8 decoders refuse; integrators decode with strict=False, errors=ignore.
		p.nickname, p.rawName = "raw", []byte("ra\x01w\xf0\x9f name")
	}
	return p
}

// validName says whether a name can hold the phone: 1 to 64 bytes of printable UTF-8 without blanks at the ends.
func validName(name string) bool {
	if name == "" || len(name) > 64 || !utf8.ValidString(name) || strings.TrimSpace(name) != name {
		return false
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// account is a person as one app sees them: a real one, or the virtual one of a snapshot page.
type account struct {
	person  string
	virtual *virtualIDs // nil for the real account
}

// virtualIDs are what a site is told in snapshot mode (documented; wechat-protocol §1.7). Their values depend on the
// switch snapshot-ids.
type virtualIDs struct{ openID, unionID string }

func (a account) openID(app *App) string {
	if a.virtual != nil {
		return a.virtual.openID
	}
	return openID(app.AppID, a.person)
}

// unionID is empty for an app that is not bound to an open account.
func (a account) unionID(app *App) string {
	switch {
	case app.OpenAccount == "":
		return ""
	case a.virtual != nil:
		return a.virtual.unionID
	}
	return unionID(app.OpenAccount, a.person)
}

// Openids and unionids have 28 characters and begin with o (observed, wechat-protocol §0.3).
func openID(appID, person string) string        { return derivedID("openid", appID, person) }
func unionID(openAccount, person string) string { return derivedID("unionid", openAccount, person) }

func derivedID(kind, scope, person string) string {
	sum := sha256.Sum256([]byte("wxbridge simulator\x00" + kind + "\x00" + scope + "\x00" + person))
	return shapedID(sum[:])
}

func randomID() string {
	b := make([]byte, 32)
	rand.Read(b)
	return shapedID(b)
}

func shapedID(b []byte) string { return "o" + base64.RawURLEncoding.EncodeToString(b)[:27] }

// newVirtual makes the account of one snapshot visit.
func (s *Server) newVirtual(app *App, name string) account {
	ids := virtualIDs{openID: randomID(), unionID: randomID()}
	switch s.switches.choice(switchSnapshotIDs) {
	case "shared-unionid":
		ids.unionID = derivedID("virtual unionid", app.OpenAccount, "")
	case "real-ids":
		ids = virtualIDs{openID: openID(app.AppID, name), unionID: unionID(app.OpenAccount, name)}
	}
	return account{person: name, virtual: &ids}
}
