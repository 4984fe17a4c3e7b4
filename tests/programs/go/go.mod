module chaos

go 1.24

require pelton/sdk/go v0.1.0

replace pelton/sdk/go => ../../../sdk/go
