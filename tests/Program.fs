module Agent.Tests.Program

open System.Threading
open Expecto

[<EntryPoint>]
let main arguments =
    // Tests wait on threads of the pool while the server that they wait for needs some as well.
    ThreadPool.SetMinThreads(32, 32) |> ignore
    runTestsInAssemblyWithCLIArgs [] arguments
