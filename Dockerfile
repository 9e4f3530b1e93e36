# Both images: `docker build --target manager .` and `docker build --target sampler .`
#
# The binaries are built outside, statically, by `make images` (hack/images.sh):
# the images hold nothing else, so BASE may as well be scratch. The sampler
# brings root certificates of its own for bases that have none.
ARG BASE=gcr.io/distroless/static:nonroot

FROM ${BASE} AS manager
COPY dist/manager /manager
# Both ids: with the user alone the process would run in group 0.
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["/manager"]

FROM ${BASE} AS sampler
COPY dist/sampler /sampler
USER 65532:65532
EXPOSE 8080 9090
ENTRYPOINT ["/sampler"]
