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

	switchForceRefresh  = "force-refresh"
	switchWrongSecret   = "wrong-secret"
	switchSecretState   = "app-secret"
	switchIPWhitelist   = "ip-whitelist"
	switchDayQuota      = "day-quota"
	switchMinuteQuota   = "minute-quota"
	switchUserInfoKeys  = "user-info-keys"
	switchPushMode      = "push-mode"
	switchPushAttempts  = "push-attempts"
	switchPushSignature = "push-signature"
	switchMarkFail      = "mark-fail"
	switchSubscribeKey  = "subscribe-event-key"
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
	table = append(append(table, appTokenSwitches()...), pushSwitches()...)
	table = append(append(table, reachSwitches()...), wecomSwitches()...)
	for i := range table {
		table[i].Choice = table[i].Choices[0]
	}
	return table
}

func appTokenSwitches() []Switch {
	return []Switch{
		{Name: switchForceRefresh, Choices: []string{"overlap", "dies-at-once"},
			About: "the stable token that force_refresh replaces: lives five more minutes, or dies at once"},
		{Name: switchWrongSecret, Choices: []string{"40125", "40001"},
			About: "a wrong secret at cgi-bin/token and stable_token"},
		{Name: switchSecretState, Choices: []string{"usable", "frozen"},
			About: "whether the AppSecrets were frozen in the console: 40243 at cgi-bin/token and stable_token"},
		{Name: switchIPWhitelist, Choices: []string{"listed", "not-listed", "not-listed-anywhere"},
			About: "the caller's address in the whitelist: listed, missing for official accounts (40164), or for mini programs too"},
		{Name: switchDayQuota, Choices: []string{"new-account", "test-account", "exhausted", "unlimited"},
			About: "cgi-bin calls a day before 45009: counted as for a new account or a test account, used up, or never"},
		{Name: switchMinuteQuota, Choices: []string{"counted", "exhausted", "unlimited"},
			About: "cgi-bin calls a minute before 45011: counted, used up, or never"},
		{Name: switchUserInfoKeys, Choices: []string{"blank", "absent"},
			About: "cgi-bin/user/info of somebody who does not follow: name, region and picture as blank keys, or no such keys"},
	}
}

func pushSwitches() []Switch {
	return []Switch{
		{Name: switchPushMode, Choices: []string{"configured", ModePlain, ModeCompatible, ModeAES},
			About: "form of pushes: as each app is configured, or one form for all"},
		{Name: switchPushAttempts, Choices: []string{"3-in-all", "3-resends"},
			About: "how often an unanswered push is sent: three times in all, or once and three times again"},
		{Name: switchPushSignature, Choices: []string{"same", "fresh"},
			About: "signature, timestamp and nonce of a repeated push: those of the first, or new ones"},
		{Name: switchMarkFail, Choices: []string{"on", "off"},
			About: "no pushes for a minute after five failed sends in a row"},
		{Name: switchSubscribeKey, Choices: []string{"empty", "absent"},
			About: "EventKey of subscribe and unsubscribe without a QR code: an empty element, or none"},
	}
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
