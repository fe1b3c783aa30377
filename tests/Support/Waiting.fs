/// Waiting for what another thread or another process does.
module Agent.TestSupport.Waiting

open System
open System.Diagnostics
open System.Threading
open Expecto

/// What runs take at most, on a machine with many times as much work as it has processors. Only a test that fails waits for so long.
let patience = TimeSpan.FromSeconds 60.0

/// Polls until the condition holds; fails the test when that takes too long.
let eventually (limit: TimeSpan) (what: string) (condition: unit -> bool) : unit =
    let watch = Stopwatch.StartNew()

    while not (condition ()) do
        if watch.Elapsed > limit then
            failtest $"not within {limit.TotalSeconds} s: {what}"

        Thread.Sleep 5
