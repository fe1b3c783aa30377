module Agent.Host.Tests.Program

open Agent.TestSupport

[<EntryPoint>]
let main arguments = Runner.run arguments
