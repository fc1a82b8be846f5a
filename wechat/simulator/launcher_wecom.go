package simulator

import (
	"slices"
	"strings"
)

// orgPage is what the launcher's page has for WeCom.
type orgPage struct {
	CorpID string           // of the first corp, "" if there is none
	Login  string           // link to the login of a bridge, "" without one
	People []launcherPerson // of the organisation, besides those of the cast
	Shown  bool             // whether they are shown from the start
}

// addOrg adds the people of the organisation. They are shown where links open in a browser that members use, WeCom's or
// a desktop's, and when one of them holds the phone.
func (l *launcher) addOrg(page *launcherPage) {
	corps := l.server.sortedCorps()
	if len(corps) == 0 {
		return
	}
	page.Org.CorpID = corps[0].id
	if l.bridge != nil {
		page.Org.Login = l.bridge.String() + "/login/wecom"
	}
	for _, name := range orgNames() {
		if slices.Contains(castNames(), name) {
			continue
		}
		page.Org.People = append(page.Org.People, launcherPerson{
			Name: name, Nickname: castMember(name).name, Letter: strings.ToUpper(name[:1]), About: page.T["about-"+name],
		})
		if name == page.Holder {
			page.Stranger, page.Org.Shown = false, true
		}
	}
	page.Org.Shown = page.Org.Shown || page.Browser == browserWeCom || page.Browser == browserDesktop
}
