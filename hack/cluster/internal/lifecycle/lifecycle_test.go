package lifecycle

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/layout"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/progress"
)

func TestFollowSaysWhichPartFailedAndWhy(t *testing.T) {
	log := filepath.Join(t.TempDir(), "etcd.log")
	if err := os.WriteFile(log, []byte(strings.Repeat("earlier\n", 100)+"no space left\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := layout.Cluster{Name: "dev", Dir: t.TempDir()}
	for sentence, test := range map[string]struct {
		events    []progress.Event
		wantOut   string
		wantError []string
	}{
		"a start that works is a line a part": {
			events:  []progress.Event{{Part: "etcd", Took: 420_000_000}, {Up: true}},
			wantOut: "  etcd                       400ms\n",
		},
		"a failure has the part, the reason, the log's end and its path": {
			events:    []progress.Event{{Part: "etcd", Error: "it ended", Log: log}},
			wantError: []string{"etcd did not start: it ended", "no space left", log},
		},
		"a node that ends without a word is explained by its log": {
			wantError: []string{"node did not start", c.Log("node")},
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			var events, out strings.Builder
			for _, e := range test.events {
				progress.NewWriter(&events).Report(e)
			}
			err := follow(strings.NewReader(events.String()), &out, c)
			if diff := cmp.Diff(test.wantOut, out.String()); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
			if (err != nil) != (len(test.wantError) > 0) {
				t.Fatalf("follow() error = %v", err)
			}
			for _, want := range test.wantError {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			if err != nil && strings.Count(err.Error(), "earlier") > 25 {
				t.Error("the error holds more than the end of the log")
			}
		})
	}
}

func TestPrepareWritesWhatPartsReadAndNobodyElse(t *testing.T) {
	c := layout.Cluster{Name: "dev", Dir: filepath.Join(t.TempDir(), "dev")}
	pause := filepath.Join(t.TempDir(), "pause")
	if err := os.WriteFile(pause, []byte("program"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := prepare(c, pause, 4711); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if want := "https://127.0.0.1:4711"; config.Host != want {
		t.Errorf("the host's kubeconfig calls %s, want %s", config.Host, want)
	}
	for _, path := range []string{c.Kubeconfig(), c.PKI("ca.key"), c.PKI("kubelet.key")} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if others := info.Mode().Perm() & 0o077; others != 0 {
			t.Errorf("%s holds a key and may be read by others (%v)", path, info.Mode())
		}
	}
}

func TestRemoveFolder(t *testing.T) {
	for sentence, test := range map[string]struct {
		keep string
		want []string
	}{
		"everything goes":           {},
		"all goes but what is kept": {keep: "logs", want: []string{"logs"}},
		"keeping what is not there": {keep: "other", want: []string{}},
	} {
		t.Run(sentence, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "dev")
			for _, d := range []string{"logs", "etcd/member"} {
				if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // The second time there is nothing left to do.
				if err := removeFolder(dir, test.keep); err != nil {
					t.Fatal(err)
				}
			}
			entries, err := os.ReadDir(dir)
			if test.keep == "" {
				if !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("the folder is still there (%v)", err)
				}
				return
			}
			got := []string{}
			for _, e := range entries {
				got = append(got, e.Name())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("what is left (-want +got):\n%s", diff)
			}
		})
	}
}
