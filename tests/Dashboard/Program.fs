module Agent.Dashboard.Tests.Program

open System.Threading
open Expecto

[<EntryPoint>]
let main arguments =
    // Tests wait on threads of the pool while the clients that they wait for need some as well.
    ThreadPool.SetMinThreads(32, 32) |> ignore

    try
        runTestsInAssemblyWithCLIArgs [] arguments
    finally
        Shared.abandon ()
