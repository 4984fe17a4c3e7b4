module pelton/sdk/go

go 1.24
