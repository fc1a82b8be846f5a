package simulator

// What the tests of known answers reach of the inside.
var (
	JSSignature      = jsSignature
	RawDataSignature = rawDataSignature
)
