package simulator

import (
	"net/http"
	"slices"
	"strconv"
)

// followerReply is somebody who follows, with the fields that are left since 2021 in the order of wechat-protocol §6.1.
type followerReply struct {
	Subscribe      int    `json:"subscribe"`
	OpenID         string `json:"openid"`
	Language       string `json:"language"`
	SubscribeTime  int64  `json:"subscribe_time"`
	UnionID        string `json:"unionid,omitempty"`
	Remark         string `json:"remark"`
	GroupID        int    `json:"groupid"`
	TagIDList      []int  `json:"tagid_list"`
	SubscribeScene string `json:"subscribe_scene"`
	QRScene        uint32 `json:"qr_scene"`
	QRSceneStr     string `json:"qr_scene_str"`
}

// strangerReply is somebody who does not follow: no error, and never a unionid (observed, wechat-protocol §6.1).
type strangerReply struct {
	Subscribe int    `json:"subscribe"`
	OpenID    string `json:"openid"`
	*blankKeys
	TagIDList []int `json:"tagid_list"`
}

// blankKeys came with a stranger's answer in 2025, and not before (observed).
type blankKeys struct {
	Nickname   string `json:"nickname"`
	Sex        int    `json:"sex"`
	Language   string `json:"language"`
	City       string `json:"city"`
	Province   string `json:"province"`
	Country    string `json:"country"`
	HeadImgURL string `json:"headimgurl"`
}

// handleFollower is GET /cgi-bin/user/info.
func (s *Server) handleFollower(w http.ResponseWriter, r *http.Request) {
	app, errcode := s.callingAccount(r)
	if errcode != 0 {
		s.refuse(w, r, errcode)
		return
	}
	q := r.URL.Query()
	reply, errcode := s.followerReply(app, q.Get("openid"), q.Get("lang"))
	if errcode != 0 {
		s.refuse(w, r, errcode)
		return
	}
	writeCGI(w, reply)
}

// followerReply describes one person. An openid that is no openid, or of another account, is 40003 (documented).
func (s *Server) followerReply(app *App, id, lang string) (any, int) {
	if id == "" {
		return nil, 41009
	}
	name, known := s.nameOf(app, id)
	if !known {
		return nil, 40003
	}
	if lang != "zh_TW" && lang != "en" {
		lang = "zh_CN"
	}
	f := s.followOf(app, name)
	if !f.on {
		stranger := strangerReply{OpenID: id, TagIDList: []int{}}
		if s.switches.choice(switchUserInfoKeys) != "absent" {
			stranger.blankKeys = &blankKeys{Language: "zh_CN"}
		}
		return stranger, 0
	}
	who := account{person: name}
	reply := followerReply{
		Subscribe: 1, OpenID: id, Language: lang, SubscribeTime: f.since.Unix(), UnionID: who.unionID(app),
		TagIDList: []int{}, SubscribeScene: "ADD_SCENE_SEARCH",
	}
	if f.scene != "" {
		reply.SubscribeScene = "ADD_SCENE_QR_CODE"
		if n, err := strconv.ParseUint(f.scene, 10, 32); err == nil { // assumed: a number is a scene_id
			reply.QRScene = uint32(n)
		} else {
			reply.QRSceneStr = f.scene
		}
	}
	return reply, 0
}

const followerBatchMax = 100 // documented (wechat-protocol §6.2)

// handleFollowerBatch is POST /cgi-bin/user/info/batchget. An empty list is 40031, a longer one than 100 40032, and one
// bad openid spoils the call (which code is which is assumed).
func (s *Server) handleFollowerBatch(w http.ResponseWriter, r *http.Request) {
	app, errcode := s.callingAccount(r)
	var body struct {
		UserList []struct {
			OpenID string `json:"openid"`
			Lang   string `json:"lang"`
		} `json:"user_list"`
	}
	if errcode == 0 {
		errcode = readPost(w, r, &body)
	}
	switch {
	case errcode != 0:
	case len(body.UserList) == 0:
		errcode = 40031
	case len(body.UserList) > followerBatchMax:
		errcode = 40032
	}
	list := []any{}
	for _, user := range body.UserList {
		if errcode != 0 {
			break
		}
		var reply any
		if reply, errcode = s.followerReply(app, user.OpenID, user.Lang); errcode == 41009 {
			errcode = 40003
		}
		list = append(list, reply)
	}
	if errcode != 0 {
		s.refuse(w, r, errcode)
		return
	}
	writeCGI(w, struct {
		UserInfoList []any `json:"user_info_list"`
	}{list})
}

const followersPage = 10_000 // documented (wechat-protocol §6.3)

type followersReply struct {
	Total int `json:"total"`
	Count int `json:"count"`
	Data  *struct {
		OpenID []string `json:"openid"`
	} `json:"data,omitempty"` // absent from an empty page (assumed)
	NextOpenID string `json:"next_openid"`
}

// handleFollowers is GET /cgi-bin/user/get. An unknown next_openid is 40003 (assumed).
func (s *Server) handleFollowers(w http.ResponseWriter, r *http.Request) {
	app, errcode := s.callingAccount(r)
	if errcode != 0 {
		s.refuse(w, r, errcode)
		return
	}
	ids := s.followerIDs(app)
	reply := followersReply{Total: len(ids)}
	if after := r.URL.Query().Get("next_openid"); after != "" {
		at := slices.Index(ids, after)
		if at < 0 {
			s.refuse(w, r, 40003)
			return
		}
		ids = ids[at+1:]
	}
	ids = ids[:min(len(ids), followersPage)]
	if reply.Count = len(ids); reply.Count > 0 {
		reply.Data = &struct {
			OpenID []string `json:"openid"`
		}{ids}
		reply.NextOpenID = ids[len(ids)-1]
	}
	writeCGI(w, reply)
}
