module Agent.Dashboard.Tests.Program

open Agent.TestSupport

[<EntryPoint>]
let main arguments =
    try
        Runner.run arguments
    finally
        Shared.abandon ()
