package simulator

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// The switches: behaviour on which sources disagree or are silent (wechat-protocol §13.1 and the sections it names).
const (
	switchSnapshotIDs    = "snapshot-ids"
	switchSnapshotFlag   = "snapshot-flag"
	switchSessionKey     = "session-key"
	switchBaseUserInfo   = "base-userinfo"
	switchExpiredCode    = "expired-code"
	switchCheckOrder     = "check-order"
	switchRefusal        = "refusal"
	switchFailedRefresh  = "failed-refresh"
	switchParameterOrder = "parameter-order"
	switchEmptyState     = "empty-state"
	switchRecentConsent  = "recent-consent"
	switchOutsideWeChat  = "outside-wechat"
	switchTokenScope     = "token-scope"
	switchAvatars        = "avatars"
)

// Switch is one doubtful behaviour and what can be chosen.
type Switch struct {
	Name    string   `json:"name"`
	Choice  string   `json:"choice"`
	Choices []string `json:"choices"` // the first is the default
	About   string   `json:"about"`
}

// Switches lists every switch with its default choice.
func Switches() []Switch {
	table := []Switch{
		{Name: switchSnapshotIDs, Choices: []string{"new-pair", "shared-unionid", "real-ids"},
			About: "ids of a snapshot visitor: a new openid and unionid each visit, new openids with one unionid, or the real ids beside the flag"},
		{Name: switchSnapshotFlag, Choices: []string{"number", "string"},
			About: `is_snapshotuser as 1 or as "1"`},
		{Name: switchSessionKey, Choices: []string{"every-login", "within-period"},
			About: "a mini program's session_key changes at every login, or stays for five minutes"},
		{Name: switchBaseUserInfo, Choices: []string{"48001", "data"},
			About: "userinfo with a snsapi_base token of somebody who once allowed snsapi_userinfo"},
		{Name: switchExpiredCode, Choices: []string{"40029", "42003"},
			About: "an OAuth code older than five minutes"},
		{Name: switchCheckOrder, Choices: []string{"appid-first", "code-first"},
			About: "whether appid and secret are checked before the code or after it"},
		{Name: switchRefusal, Choices: []string{"nothing", "state-only", "authdeny"},
			About: "what the site is told when somebody taps 拒绝; until this is set, nora (alone) refuses with authdeny"},
		{Name: switchFailedRefresh, Choices: []string{"42002", "40030", "42007"},
			About: "a user refresh token past its 30 days"},
		{Name: switchParameterOrder, Choices: []string{"lenient", "strict"},
			About: "an authorize link must begin appid, redirect_uri, or have all five parameters in the documented order"},
		{Name: switchEmptyState, Choices: []string{"accepted", "10013"},
			About: "an authorize link without state"},
		{Name: switchRecentConsent, Choices: []string{"off", "on"},
			About: "no consent sheet for somebody who allowed the same app a short while ago"},
		{Name: switchOutsideWeChat, Choices: []string{"allowed", "refused"},
			About: "the authorize page in a browser whose User-Agent lacks MicroMessenger"},
		{Name: switchTokenScope, Choices: []string{"plain", "trailing-comma", "all-granted"},
			About: "scope in token answers: as asked for, with a comma at the end, or everything ever granted"},
		{Name: switchAvatars, Choices: []string{"alive", "gone"},
			About: "avatar addresses answer with a picture, or 404 as after a change of avatar"},
	}
	for i := range table {
		table[i].Choice = table[i].Choices[0]
	}
	return table
}

// switchboard holds what was chosen. Reading is free of locks.
type switchboard struct {
	mu     sync.Mutex // serialises writers
	chosen atomic.Pointer[map[string]string]
}

func (b *switchboard) init(choices map[string]string) error {
	b.chosen.Store(&map[string]string{})
	return b.set(choices)
}

// set changes all the switches named, or none if one of them is unknown.
func (b *switchboard) set(choices map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(choices)) {
		if err := checkChoice(name, choices[name]); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	next := maps.Clone(*b.chosen.Load())
	maps.Copy(next, choices)
	b.chosen.Store(&next)
	return nil
}

func checkChoice(name, choice string) error {
	var names []string
	for _, sw := range Switches() {
		if sw.Name != name {
			names = append(names, sw.Name)
			continue
		}
		if !slices.Contains(sw.Choices, choice) {
			return fmt.Errorf("switch %s: unknown choice %q; want one of %s", name, choice, strings.Join(sw.Choices, ", "))
		}
		return nil
	}
	return fmt.Errorf("unknown switch %q; want one of %s", name, strings.Join(names, ", "))
}

// choice is what was set, or "" for the default. Callers compare with the choices that are not the default.
func (b *switchboard) choice(name string) string { return (*b.chosen.Load())[name] }

func (b *switchboard) list() []Switch {
	table := Switches()
	for i := range table {
		if c := b.choice(table[i].Name); c != "" {
			table[i].Choice = c
		}
	}
	return table
}
