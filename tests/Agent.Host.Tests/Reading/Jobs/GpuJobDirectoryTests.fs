/// A scheduler's job directory, whatever is in it.
module Agent.Host.Tests.GpuJobDirectoryTests

open System
open System.IO
open Agent.Core
open Agent.Core.Jobs
open Agent.Host.Reading.Jobs
open Agent.TestSupport
open Expecto

let private read (directory: string) =
    let reading = GpuJobDirectory(directory).Read()

    // A directory has no order of its own.
    let files = [ for file in reading.Value -> file.Gpu, file.Instance, List.ofArray file.Jobs ]
    List.sort files, List.sort [ for fault in reading.Faults -> string fault ]

[<Tests>]
let tests =
    testList
        "Host.GpuJobDirectory"
        [
            testCase "a file for each GPU; others are nobody's, and no fault"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let put (name: string) (text: string) =
                        File.WriteAllText(Path.Combine(directory, name), text)

                    put "0" "4711\n"
                    put "10" "4711\n4712\n"
                    put "2.3" "4713"
                    put "README" "not a GPU"
                    put "0.tmp" "9"
                    Directory.CreateDirectory(Path.Combine(directory, "1")) |> ignore

                    Expect.equal
                        (read directory)
                        ([
                            0, ValueNone, [ "4711" ]
                            2, ValueSome 3, [ "4713" ]
                            10, ValueNone, [ "4711"; "4712" ]
                         ],
                         [])
                        "files")

            testCase "a missing directory is one fault, and is read when it is there"
            <| fun () ->
                World.withDirectory (fun parent ->
                    let directory = Path.Combine(parent, "jobs")
                    let source = GpuJobDirectory directory

                    Expect.equal
                        [ for fault in source.Read().Faults -> string fault ]
                        [
                            $"{directory} cannot be read: there is no such directory; until there is, metrics have no hpc_job"
                        ]
                        "missing"

                    Directory.CreateDirectory directory |> ignore
                    File.WriteAllText(Path.Combine(directory, "0"), "1\n")
                    let reading = source.Read()
                    Expect.equal (reading.Value.Length, reading.Faults.Length) (1, 0) "there")

            testCase "a file in the place of the directory is a fault"
            <| fun () ->
                World.withDirectory (fun parent ->
                    let path = Path.Combine(parent, "jobs")
                    File.WriteAllText(path, "0")
                    let files, faults = read path
                    Expect.equal files [] "nothing"
                    Expect.equal faults.Length 1 "one fault")

            testCase "garbage costs its lines, and is told with its file"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let path = Path.Combine(directory, "0")
                    File.WriteAllBytes(path, [| 0xffuy; 0xfeuy; 10uy; 52uy; 50uy; 10uy |])
                    File.WriteAllText(Path.Combine(directory, "1"), "43\n")
                    let files, faults = read directory
                    Expect.equal files [ 0, ValueNone, [ "42" ]; 1, ValueNone, [ "43" ] ] "the rest"
                    Expect.equal faults.Length 1 "one fault"
                    Expect.stringStarts faults[0] $"{path} line 1, field job id: expected the id of a job" "by its place")

            testCase "what never ends, or never answers, is not waited for"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let run program (arguments: string list) =
                        use tool = Diagnostics.Process.Start(program, arguments)
                        tool.WaitForExit()
                        Expect.equal tool.ExitCode 0 program

                    // A pipe that nobody writes into, and a link to a device.
                    run "mkfifo" [ Path.Combine(directory, "0") ]
                    File.CreateSymbolicLink(Path.Combine(directory, "1"), "/dev/zero") |> ignore

                    File.CreateSymbolicLink(Path.Combine(directory, "2"), Path.Combine(directory, "gone"))
                    |> ignore

                    // A link to an ordinary file of somebody else.
                    File.WriteAllText(Path.Combine(directory, "other"), "secret\n")

                    File.CreateSymbolicLink(Path.Combine(directory, "5"), Path.Combine(directory, "other"))
                    |> ignore

                    File.WriteAllText(Path.Combine(directory, "3"), String('7', 10_000_000))
                    File.WriteAllText(Path.Combine(directory, "4"), "5\n")
                    let files, faults = read directory
                    Expect.equal files [ 3, ValueNone, []; 4, ValueNone, [ "5" ] ] "ordinary files"
                    Expect.equal faults.Length 2 "the long line, and the length")

            testCase "however many files there are, so many count"
            <| fun () ->
                World.withDirectory (fun directory ->
                    for i in 0..299 do
                        File.WriteAllText(Path.Combine(directory, string i), "x\001\n")

                    let files, faults = read directory
                    Expect.equal files.Length GpuJobDirectory.MostFiles "files"
                    Expect.equal faults.Length 8 "faults")
        ]
