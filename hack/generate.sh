#!/usr/bin/env bash
# Makes every generated file from the Go sources: deep copies, CRDs, the
# manager's role, their counterparts in the Helm chart with its README, and docs/api.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tool() { go tool -modfile=hack/tools/go.mod "$@"; }

tool controller-gen object paths=./api/...
# "Dangerous" are floats, which other languages may round: a temperature is one
# by nature, and nothing is ever compared with it for equality.
tool controller-gen crd:allowDangerousTypes=true paths=./api/... output:crd:artifacts:config=config/crd/bases
go run -C hack/tools ./crdtrim "$PWD"/config/crd/bases/*.yaml
tool controller-gen rbac:roleName=manager paths=./controllers/... output:rbac:artifacts:config=config/rbac
go run -C hack/tools ./chartgen -root ../..
tool crd-ref-docs --source-path=api --config=hack/api-docs/config.yaml \
	--renderer=markdown --output-path=docs/api.md --log-level=ERROR
# Lines of a comment are lines of its source, not of what it says.
sed -i -E 's#([^ |>])<br />([^ <|])#\1 \2#g' docs/api.md
# helm-docs only warns of a chart that it cannot read, and then leaves the page as
# it is: what is missing in it the chart's tests say.
tool helm-docs --chart-search-root=charts --sort-values-order=file --skip-version-footer --log-level=warning
