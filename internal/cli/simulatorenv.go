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

// printEnvLines writes what a bridge needs to use this simulator: the apps that variables can configure, those for an apps file as
// a comment, and the simulator's addresses.
func printEnvLines(w io.Writer, apps []simulator.App, simulatorURL string) {
	first, further := appsForVariables(apps)
	for _, app := range first {
		printAppLines(w, app)
	}
	printFurtherApps(w, further)
	if wecomApp(apps) != nil {
		printSettings(w, map[string]string{"WECOM_API_URL": simulatorURL + "/qyapi", "WECOM_LOGIN_URL": simulatorURL + "/wwlogin"})
	}
	printSettings(w, map[string]string{"WECHAT_API_URL": simulatorURL, "WECHAT_OPEN_URL": simulatorURL, "WECHAT_MP_URL": simulatorURL})
}

// appsForVariables takes the first app of each kind. All apps that variables configure count as of one open account: one of
// another cannot be among them.
func appsForVariables(apps []simulator.App) (first, further []simulator.App) {
	kinds, account := map[string]bool{}, ""
	for _, app := range apps {
		other := app.OpenAccount != "" && account != "" && app.OpenAccount != account
		if kinds[app.Provider] || other {
			further = append(further, app)
			continue
		}
		kinds[app.Provider] = true
		if app.OpenAccount != "" {
			account = app.OpenAccount
		}
		first = append(first, app)
	}
	return first, further
}

func printAppLines(w io.Writer, app simulator.App) {
	switch app.Provider {
	case simulator.ProviderOfficialAccount:
		printSettings(w, map[string]string{"OFFICIAL_APP_ID": app.AppID, "OFFICIAL_APP_SECRET": app.Secret,
			"OFFICIAL_TOKEN": app.Token, "OFFICIAL_ENCODING_AES_KEY": keyInUse(app)})
	case simulator.ProviderMiniProgram:
		printSettings(w, map[string]string{"MINIPROGRAM_APP_ID": app.AppID, "MINIPROGRAM_APP_SECRET": app.Secret})
	case simulator.ProviderWebsite:
		printSettings(w, map[string]string{"WEBSITE_APP_ID": app.AppID, "WEBSITE_APP_SECRET": app.Secret})
	case simulator.ProviderWeCom:
		printSettings(w, map[string]string{"WECOM_CORP_ID": app.AppID, "WECOM_AGENT_ID": strconv.Itoa(app.AgentID),
			"WECOM_SECRET": app.Secret, "WECOM_TOKEN": app.Token, "WECOM_ENCODING_AES_KEY": app.EncodingAESKey})
	}
}

// keyInUse is what the app's pushes are encrypted with; "" in plain mode: with a key a bridge takes no others.
func keyInUse(app simulator.App) string {
	if app.EventsMode == simulator.ModePlain {
		return ""
	}
	return app.EncodingAESKey
}

// printSettings writes the values that are set, in the order of the README, as far as the bridge has variables for them: an unknown
// one would stop its start.
func printSettings(w io.Writer, values map[string]string) {
	for _, v := range config.Variables() {
		if value := values[strings.TrimPrefix(v.Name, config.Prefix)]; value != "" {
			fmt.Fprintf(w, "%s=%s\n", v.Name, value)
		}
	}
}

// printFurtherApps writes apps as a file for WXBRIDGE_APPS_FILE, in a comment.
func printFurtherApps(w io.Writer, apps []simulator.App) {
	if len(apps) == 0 {
		return
	}
	fmt.Fprintf(w, "# Further apps, for a file that %sAPPS_FILE names:\n# apps:\n", config.Prefix)
	for i, app := range apps {
		fields := []string{"alias: app" + strconv.Itoa(i+2), "provider: " + app.Provider}
		add := func(name, value string) {
			if value != "" {
				fields = append(fields, name+": "+strconv.Quote(value))
			}
		}
		add("appid", app.AppID)
		if app.Provider == simulator.ProviderWeCom {
			fields = append(fields, "agent_id: "+strconv.Itoa(app.AgentID))
		}
		add("secret", app.Secret)
		add("open_account", app.OpenAccount)
		if takesPushes := []string{simulator.ProviderOfficialAccount, simulator.ProviderWeCom}; slices.Contains(takesPushes, app.Provider) {
			add("callback_token", app.Token)
			add("encoding_aes_key", keyInUse(app))
		}
		fmt.Fprintf(w, "#   - {%s}\n", strings.Join(fields, ", "))
	}
}
