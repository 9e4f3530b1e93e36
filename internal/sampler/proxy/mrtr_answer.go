package proxy

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// answer has the sampling of one round answered at the same time. All of it or
// none: where one fails, the caller's request does, and the result is false.
func (x *exchange) answer(inputs []wire.Input) ([]wire.InputAnswer, bool) {
	if len(inputs) == 0 {
		return nil, true
	}
	release, refusal := x.takePlaces(inputs)
	if refusal != "" {
		x.refuseSampling(wire.CodeInternal, refusal)
		return nil, false
	}
	defer release()
	over := x.waiting()
	answers := make([]wire.InputAnswer, len(inputs))
	ctx, cancel := context.WithCancel(x.r.Context())
	defer cancel()
	var failed *wire.Error
	var once sync.Once
	before := int(x.call.asked.Add(int64(len(inputs)))) - len(inputs)
	serve := func(i int) {
		result, failure, done := x.handler.ask(x.handler.within(ctx, x.call, inputs[i].Params), x.session, x.session.viewIn(before+i+1), inputs[i].Params)
		x.handler.later(done, len(inputs[i].Params)+len(result))
		if failure != nil {
			once.Do(func() { failed = failure })
			cancel()
		}
		answers[i] = wire.InputAnswer{Name: inputs[i].Name, Key: inputs[i].Key, Result: result}
	}
	var beside sync.WaitGroup
	for i := 1; i < len(inputs); i++ {
		beside.Go(func() { serve(i) })
	}
	serve(0)
	beside.Wait()
	over()
	if failed != nil {
		x.refuseSampling(failed.Code, failed.Message)
		return nil, false
	}
	return answers, true
}

// takePlaces takes a place for each answer among all, and their memory; or says
// what there is too much of.
func (x *exchange) takePlaces(inputs []wire.Input) (release func(), refusal string) {
	h := x.handler
	if most := h.settings().MaxAnswersPerSession; len(inputs) > most {
		x.refused(TooManyInSession)
		return nil, fmt.Sprintf("it asks for %d answers at the same time, at most %d are given", len(inputs), most)
	}
	var size int64
	for _, input := range inputs {
		size += int64(len(input.Params))
	}
	held := 0
	giveBack := func() {
		for range held {
			<-h.answering
		}
	}
	for range inputs {
		select {
		case h.answering <- struct{}{}:
			held++
			continue
		default:
		}
		giveBack()
		x.refused(TooManyInSampler)
		return nil, h.refusalText(TooManyInSampler)
	}
	if !h.answerBytes.take(size) {
		giveBack()
		x.refused(TooManyBytes)
		return nil, h.refusalText(TooManyBytes)
	}
	return func() {
		h.answerBytes.give(size)
		giveBack()
	}, ""
}

func (x *exchange) refused(refusal Refusal) {
	if x.handler.opts.Refused != nil {
		x.handler.opts.Refused(refusal)
	}
	if count, ok := x.session.complaints.refused.take(time.Now()); ok {
		x.handler.opts.Logger.Warn("the server has too many sampling requests at the same time", "reason", refusal, "count", count)
	}
}

// refuseSampling fails the caller's request because of the sampling that it
// needs: a server can be told no otherwise.
func (x *exchange) refuseSampling(code int, why string) {
	text := "the sampling that the MCP server %s needs for this call failed: %s"
	if code == wire.CodeRejected {
		text = "the sampling that the MCP server %s needs for this call was refused: %s"
	}
	x.refuse(code, fmt.Sprintf(text, x.handler.opts.ServerName, why))
}
