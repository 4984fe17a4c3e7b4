package batch

// By this export the file says that it takes many messages at a time.
//
//go:wasmexport pelton_worker_batch
func markWorkerBatch() {}
