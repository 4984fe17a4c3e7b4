package pelton

// By this export the file says that it is a worker, so that no configuration need say it.
//
//go:wasmexport pelton_worker
func markWorker() {}
