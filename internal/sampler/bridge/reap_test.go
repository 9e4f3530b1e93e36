package bridge

const fakeInitEnv = "BRIDGE_FAKE_INIT"

func runAsInit() {}
