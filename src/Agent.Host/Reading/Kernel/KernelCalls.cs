using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace Agent.Host.Reading;

/// <summary>What the kernel says of itself and of this program without a file, as bytes.</summary>
internal static unsafe partial class KernelCalls
{
    /// <summary>struct timex, where a long has 64 bits.</summary>
    private const int TimexSize = 208;

    /// <summary>The answer by the name that a collector gives it; null where there is none.</summary>
    public static byte[]? Answer(string name) => name switch
    {
        "adjtimex" => sizeof(nint) == 8 && BitConverter.IsLittleEndian ? Clock() : null,
        "descriptors" => Descriptors(),
        _ => null,
    };

    // What the call returns, as 64 bits, and the struct behind it. It asks for no change: its modes are 0.
    private static byte[]? Clock()
    {
        var answer = new byte[sizeof(long) + TimexSize];

        fixed (byte* bytes = answer)
        {
            *(long*)bytes = Adjtimex(bytes + sizeof(long));
            return *(long*)bytes < 0 ? null : answer;
        }
    }

    // Without the one that the list itself is read by.
    private static byte[] Descriptors() =>
        Encoding.ASCII.GetBytes((DirectoryEntries.Count("/proc/self/fd") - 1).ToString(CultureInfo.InvariantCulture) + "\n");

    [LibraryImport("libc", EntryPoint = "adjtimex")]
    private static partial int Adjtimex(byte* timex);
}
