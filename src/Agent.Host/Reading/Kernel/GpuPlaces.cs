using System.Text;
using Agent.Core;
using Agent.Core.Gpu;
using Agent.Sender;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>Looks at what a machine shows of its GPUs by itself: the PCI bus, the driver in the kernel, its device nodes.</summary>
internal static class GpuPlaces
{
    private const string Bus = "bus/pci/devices";

    /// <summary>Reads some small files for each PCI device, so it is for when there is a question.</summary>
    /// <param name="sysFs">Where the PCI bus is.</param>
    /// <param name="procFs">Where the driver tells its version.</param>
    /// <param name="devices">Where the device nodes are: always the agent's own /dev, because it is the one who opens them.</param>
    public static GpuSurroundings Look(string sysFs, string procFs, string devices = "/dev")
    {
        var buffer = new ReadBuffer();
        byte[] Bytes(string path) => KernelFiles.ReadText(path, buffer).Content.Match(static text => text.ToArray(), static _ => []);

        var count = Directory.Exists(Path.Join(sysFs, Bus)) ? FSharpValueOption<int>.NewValueSome(Displays(sysFs).Length) : default;

        var version = GpuDiagnosis.DriverVersion(Bytes(Path.Join(procFs, "driver/nvidia/version")));
        var module = GpuDiagnosis.DriverVersion(Bytes(Path.Join(sysFs, "module/nvidia/version")));

        return new(count, version.Length > 0 ? version : module, Nodes(devices));
    }

    /// <summary>
    /// NVIDIA's boards where the kernel has suspended all of them, so that asking nvidia-smi about any would wake it; else none. In the order of their
    /// addresses, which is the driver's.
    /// </summary>
    public static Gpu[] Asleep(string sysFs)
    {
        var boards = Displays(sysFs).Select(static board => Path.GetFileName(board)).ToArray();
        var power = new RuntimePower(sysFs);
        power.Look(boards);
        return Array.TrueForAll(boards, power.IsSuspended) ? [.. boards.Select(static (board, index) => Gpu.Asleep(index, board))] : [];
    }

    /// <summary>The directories of NVIDIA's display devices that are this machine's own.</summary>
    private static string[] Displays(string sysFs)
    {
        var buffer = new ReadBuffer();
        string Text(string path) =>
            KernelFiles.ReadText(path, buffer).Content.Match(static text => Encoding.ASCII.GetString(text.Span), static _ => "");

        return
        [
            .. SysFiles.Directories(Path.Join(sysFs, Bus)).Where(device =>
                GpuDiagnosis.IsNvidiaDisplay(Text(Path.Join(device, "vendor")), Text(Path.Join(device, "class")))
                && !GpuDiagnosis.IsHandedOver(Path.GetFileName(new FileInfo(Path.Join(device, "driver")).LinkTarget ?? ""))),
        ];
    }

    /// <summary>
    /// The faults of boards that NVIDIA's driver has and does not list. Only those count whose device node is here: a container sees all of the
    /// machine's boards in /proc, and is given some of them.
    /// </summary>
    /// <param name="procFs">Where the driver tells which boards are bound to it.</param>
    /// <param name="gpus">Those that are listed; without any it is not about one board.</param>
    /// <param name="devices">Where the device nodes are.</param>
    public static SourceError[] Unlisted(string procFs, Gpu[] gpus, string devices = "/dev")
    {
        if (gpus.Length == 0)
        {
            return [];
        }

        var buffer = new ReadBuffer();
        var bound = SysFiles.Directories(Path.Join(procFs, "driver/nvidia/gpus"))
            .Where(board => KernelFiles.ReadText(Path.Join(board, "information"), buffer).Content.Match(
                text => GpuDiagnosis.Minor(text.Span) is { IsSome: true, Value: var minor } && File.Exists(Path.Join(devices, $"nvidia{minor}")),
                static _ => false))
            .Select(static board => Path.GetFileName(board));

        return GpuDiagnosis.Unlisted([.. bound], gpus);
    }

    private static GpuNodes Nodes(string devices)
    {
        var control = Path.Join(devices, "nvidiactl");
        var first = Path.Join(devices, "nvidia0");

        if (!File.Exists(control))
        {
            return GpuNodes.Missing;
        }

        // What the driver's library will do. A control group refuses what the file's mode allows, so only trying tells.
        foreach (var path in File.Exists(first) ? [control, first] : (string[])[control])
        {
            try
            {
                File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite).Dispose();
            }
            catch (UnauthorizedAccessException)
            {
                return GpuNodes.NewDenied(path);
            }
            catch (IOException)
            {
                // An ailing driver is its own matter.
            }
        }

        return GpuNodes.Usable;
    }
}
