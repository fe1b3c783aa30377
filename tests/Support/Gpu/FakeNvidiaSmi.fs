/// The fake nvidia-smi (tests/fake-nvidia-smi), compiled for the tests, in the directory of a machine that it plays.
module Agent.TestSupport.Gpu.FakeNvidiaSmi

open System
open System.Diagnostics
open System.IO
open Agent.TestSupport
open Agent.TestSupport.Gpu.NvmlStub
open Expecto

let private built =
    lazy
        (let directory = Directory.CreateTempSubdirectory("fake-nvidia-smi-").FullName
         let program = Path.Combine(directory, "nvidia-smi")
         compile program (Path.Combine(Fixtures.root, "tests", "fake-nvidia-smi", "nvidia-smi.c")) []
         AppDomain.CurrentDomain.ProcessExit.Add(fun _ -> Directory.Delete(directory, true))
         program)

/// Puts the fake beside what plays the machine already, and returns where it lies.
let install (machine: Machine) : string =
    let program = Path.Combine(machine.Directory, "nvidia-smi")
    File.Copy(built.Value, program)
    program

/// The starts so far of a machine with `smi_log 1`: process id and arguments.
let starts (machine: Machine) : (int * string) list =
    let path = Path.Combine(machine.Directory, "starts.txt")

    if File.Exists path then
        [
            for line in File.ReadAllLines path do
                match line.Split(' ', 2) with
                | [| pid; arguments |] -> int pid, arguments
                | _ -> ()
        ]
    else
        []

/// Those that loop.
let loops (machine: Machine) : int list =
    [
        for pid, arguments in starts machine do
            if arguments.Contains "--loop-ms=" then
                pid
    ]
