module Agent.Browser.Tests.Program

open Agent.TestSupport

[<EntryPoint>]
let main arguments = Runner.run arguments
