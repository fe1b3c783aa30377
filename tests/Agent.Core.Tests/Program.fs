module Agent.Core.Tests.Program

open Agent.TestSupport

[<EntryPoint>]
let main arguments = Runner.run arguments
