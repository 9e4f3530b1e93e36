// Command probe tells a test what a pod of the cluster reaches. It ends with 0
// if it did, and else says why not.
//
//	probe connect HOST:PORT   opens a TCP connection
//	probe resolve NAME        asks the cluster's DNS for a name
//	probe wait                waits to be ended: a pod to run the others in
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// patience is long enough for a packet that was lost once.
const patience = 4 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func run(ctx context.Context, words []string) error {
	if len(words) == 1 && words[0] == "wait" {
		<-ctx.Done()
		return nil
	}
	if len(words) != 2 {
		return errors.New("usage: probe connect HOST:PORT | resolve NAME | wait")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	switch words[0] {
	case "connect":
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", words[1])
		if err != nil {
			return err
		}
		return conn.Close()
	case "resolve":
		_, err := (&net.Resolver{PreferGo: true}).LookupHost(ctx, words[1])
		return err
	default:
		return fmt.Errorf("probe: unknown command %q", words[0])
	}
}
