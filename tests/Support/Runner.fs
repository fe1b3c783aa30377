/// How every test program starts.
module Agent.TestSupport.Runner

open System.Runtime.InteropServices
open System.Threading
open Agent.TestSupport.ProgramProcess
open Expecto

/// signal(2).
[<DllImport("libc", SetLastError = true)>]
extern nativeint private signal(int number, nativeint action)

/// SIG_DFL of signal(2).
let private byDefault = 0n

/// Runs the tests of the program that calls it, with Expecto's options; returns the exit code.
let run (arguments: string array) : int =
    World.enter ()

    // What a shell starts in the background ignores these, and so do the programs that it starts. Tests send them.
    for number in [ SigInt; SigQuit ] do
        signal (number, byDefault) |> ignore

    // Tests wait on threads of the pool while the server that they wait for needs some as well.
    ThreadPool.SetMinThreads(32, 32) |> ignore
    runTestsInAssemblyWithCLIArgs [] arguments
