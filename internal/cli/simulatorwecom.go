package cli

import (
	"slices"
	"strings"

	"wxbridge/wechat/simulator"
)

// wecomApp is the first WeCom app of a set, which is the one that a bridge is configured with; nil if there is none.
func wecomApp(apps []simulator.App) *simulator.App {
	i := slices.IndexFunc(apps, func(a simulator.App) bool { return a.Provider == simulator.ProviderWeCom })
	if i < 0 {
		return nil
	}
	return &apps[i]
}

// wecomEventsURL is where a bridge takes the pushes of its default WeCom app.
func wecomEventsURL(bridge string) string {
	return strings.TrimSuffix(bridge, "/") + "/events/wecom"
}
