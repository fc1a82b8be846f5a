package cli

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"wxbridge/internal/config"
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

// wecomURLs are the addresses under which a simulator has WeCom's API and its login on a PC.
func wecomURLs(simulatorURL string) map[string]string {
	return map[string]string{"WECOM_API_URL": simulatorURL + "/qyapi", "WECOM_LOGIN_URL": simulatorURL + "/wwlogin"}
}

// printWeComLines writes what a bridge needs to log in members of the simulated corp, as far as it has settings for it:
// an unknown one would stop its start.
func printWeComLines(w io.Writer, apps []simulator.App, simulatorURL string) {
	app := wecomApp(apps)
	if app == nil {
		return
	}
	values := wecomURLs(simulatorURL)
	values["WECOM_CORP_ID"], values["WECOM_AGENT_ID"] = app.AppID, strconv.Itoa(app.AgentID)
	values["WECOM_SECRET"], values["WECOM_TOKEN"], values["WECOM_ENCODING_AES_KEY"] = app.Secret, app.Token, app.EncodingAESKey
	for _, v := range config.Variables() {
		if value := values[strings.TrimPrefix(v.Name, config.Prefix)]; value != "" {
			fmt.Fprintf(w, "%s=%s\n", v.Name, value)
		}
	}
}
