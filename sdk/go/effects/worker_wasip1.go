package effects

// By this export the file says that it speaks version 2 of the worker protocol, which has calls.
//
//go:wasmexport pelton_worker_2
func markWorker2() {}
