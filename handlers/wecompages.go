package handlers

import (
	"context"
	"crypto/rand"
	"time"

	"wxbridge/wechat"
)

// corpPages signs pages for a corp, as wx.config wants it.
type corpPages struct{ app WeComApp }

func (p corpPages) signPage(ctx context.Context, address string, now time.Time) (any, error) {
	ticket, err := p.app.Client.CorpTickets().Ticket(ctx)
	if err != nil {
		return nil, err
	}
	answer := jssdkAnswer{AppID: p.app.Client.CorpID(), Timestamp: now.Unix(), NonceStr: rand.Text()}
	answer.Signature = wechat.SignJSSDK(ticket.Value, answer.NonceStr, answer.Timestamp, address)
	return answer, nil
}

// agentPages signs pages for one app of a corp, as wx.agentConfig wants it.
type agentPages struct{ app WeComApp }

// agentAnswer is what wx.agentConfig takes, under its names.
type agentAnswer struct {
	CorpID    string `json:"corpid"`
	AgentID   string `json:"agentid"`
	Timestamp int64  `json:"timestamp"` // seconds since 1970
	NonceStr  string `json:"nonceStr"`
	Signature string `json:"signature"`
}

func (p agentPages) signPage(ctx context.Context, address string, now time.Time) (any, error) {
	ticket, err := p.app.Client.AgentTickets().Ticket(ctx)
	if err != nil {
		return nil, err
	}
	answer := agentAnswer{CorpID: p.app.Client.CorpID(), AgentID: p.app.Client.AgentID(), Timestamp: now.Unix(), NonceStr: rand.Text()}
	answer.Signature = wechat.SignJSSDK(ticket.Value, answer.NonceStr, answer.Timestamp, address)
	return answer, nil
}
